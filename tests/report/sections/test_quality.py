from typing import Any

from tests.support.synthetic_runs import run, score, wilson

from clonecost.report import Group, Run, group_runs
from clonecost.report.sections.quality import retrained_words, tabular_errors


def with_errors(**errors: Any) -> Group:
    one = run()
    document = one.result.model_dump(mode="json", by_alias=True)
    document["curve"][-1]["table"] = errors
    (group,) = group_runs([Run(one.path, type(one.result).model_validate(document))])
    return group


def test_images_have_no_tabular_errors() -> None:
    assert tabular_errors(group_runs([run()])[0]) is None


def test_errors_on_test_inputs_alone_do_not_mention_uniform_inputs() -> None:
    said = tabular_errors(with_errors(r_test=wilson(0.25), tv_test=0.002))
    assert said is not None
    assert "25.00 % (R_test)" in said
    assert "2.0e-03" in said
    assert "R_unif" not in said


def test_an_unknown_distance_is_left_out_and_not_zero() -> None:
    errors = {"r_test": wilson(0.25), "tv_test": 0.002, "uniform_rows": 400}
    said = tabular_errors(with_errors(**errors, r_unif=wilson(0.5), tv_unif=None))
    assert said is not None
    assert "On 400 inputs" in said
    assert "50.00 % (R_unif). These" in said
    known = tabular_errors(with_errors(**errors, r_unif=wilson(0.5), tv_unif=0.04))
    assert known is not None
    assert "50.00 % (R_unif) and 4.0e-02. These" in known


def test_a_fresh_clone_is_named_where_every_seed_has_one() -> None:
    again = score(19_712, 0.834, 0.4)
    runs = [run(seed=0, retrained=again), run(seed=1, retrained=again)]
    said = retrained_words(group_runs(runs)[0])
    assert said is not None
    assert "19,712 rows" in said
    assert "agreement is 83.4 %" in said
    assert retrained_words(group_runs([runs[0], run(seed=1)])[0]) is None
