"""An audit of a table from end to end: what is refused, what is counted, what is written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from tests.support.cli_runs import run
from tests.support.recording_oracle import RecordingVictim
from tests.support.table_toys import TableToy, linear_toy, numbers
from tests.support.toys import CLASSES, MakeAudit

from clonecost.attacks.tramer_lr import TramerLr
from clonecost.audit import run_audit
from clonecost.config import make_spec
from clonecost.data.tables import load_table
from clonecost.errors import DataError, SpecError
from clonecost.report import html, load_runs, markdown
from clonecost.result import read_result
from clonecost.types import LabelledInputs, ThreatModel
from clonecost.victims import LoadedVictim

TEST_ROWS, UNIFORM = 60, 200


def audit_settings(toy: TableToy, tmp_path: Path) -> dict[str, object]:
    rows = torch.rand(TEST_ROWS, len(toy.features), generator=torch.Generator().manual_seed(1))
    return {
        "victim": RecordingVictim(toy.answer), "proxy": None, "uniform": UNIFORM,
        "out": tmp_path / "run",
        "test": LabelledInputs(rows, toy.answer(rows).argmax(1), name="toy"),
        "threat": ThreatModel(
            input_shape=(len(toy.features),), num_classes=toy.classes, query_budget=1_000,
            features=toy.features,
        ),
    }  # fmt: skip


@pytest.fixture
def toy() -> TableToy:
    return linear_toy(numbers(4), CLASSES)


@pytest.fixture
def settings(toy: TableToy, tmp_path: Path) -> dict[str, object]:
    return audit_settings(toy, tmp_path)


def test_labels_that_may_be_places_are_refused_before_a_row_is_asked(
    settings: dict[str, object], make_audit: MakeAudit, toy: TableToy
) -> None:
    victim = LoadedVictim(
        name="mine", answer=toy.answer, classes=tuple(str(k + 1) for k in range(toy.classes))
    )
    audit = make_audit(TramerLr(checks=0), **{**settings, "victim": victim})
    with pytest.raises(DataError, match="a label may be a class or the place of one"):
        run_audit(audit)


def test_uniform_rows_are_bought_for_the_evaluation_and_counted_apart(
    settings: dict[str, object], make_audit: MakeAudit
) -> None:
    audit = make_audit(TramerLr(checks=0), **settings)
    result = run_audit(audit)
    assert result.spent == 15
    assert result.evaluation == TEST_ROWS + UNIFORM
    victim = settings["victim"]
    assert isinstance(victim, RecordingVictim)
    assert victim.seen == 15 + TEST_ROWS + UNIFORM
    errors = result.curve[-1].table
    assert errors is not None
    assert errors.r_unif is not None
    assert errors.tv_unif is not None
    assert (errors.r_test.value, errors.r_unif.value, errors.uniform_rows) == (0, 0, UNIFORM)
    assert errors.tv_test < 1e-6
    assert errors.tv_unif < 1e-6
    assert result.curve[-1].kl < 1e-9
    assert [feature.name for feature in result.threat.features or []] == ["n0", "n1", "n2", "n3"]


def test_errors_of_a_bad_clone_are_told_and_not_only_those_of_a_good_one(
    settings: dict[str, object], make_audit: MakeAudit
) -> None:
    result = run_audit(make_audit(TramerLr(alpha=0.2, checks=0), **settings))
    last = result.curve[-1]
    assert last.table is not None
    assert last.table.r_test.value == pytest.approx(1 - last.agreement.value)
    assert last.table.tv_test > 0.01


def test_the_run_folder_of_a_table_is_whole_and_reported(
    settings: dict[str, object], make_audit: MakeAudit
) -> None:
    audit = make_audit(TramerLr(), **settings)
    run_audit(audit)
    assert not (audit.folder / "samples.safetensors").exists()  # no picture of a row
    assert {"linear.weight", "extract.middle"} <= set(load_file(audit.folder / "clone.safetensors"))
    runs = load_runs([audit.folder])
    page, text = html(runs), markdown(runs)
    for words in ("R_unif", "tabular data with 4 features", "a row of 4 features"):
        assert words in page
        assert words in text
    assert "Tabular inputs are not drawn." in page


def test_images_are_who_they_were(make_audit: MakeAudit) -> None:
    """Run folders made before there were tables go on."""
    facts = json.loads(make_audit().identity())
    assert "features" not in facts["threat"]


def test_kinds_are_not_mixed(settings: dict[str, object], make_audit: MakeAudit) -> None:
    for attack, changes, sentence in (
        ("knockoff", settings, "knockoff attacks images, and the victim takes rows of a table"),
        ("tramer_lr", {}, "tramer_lr attacks tables, and the victim takes images"),
        (
            "tramer_lr",
            {**settings, "controls": True},
            "Leave `controls` out",
        ),
    ):
        chosen = TramerLr() if attack == "tramer_lr" else attack
        audit = make_audit(chosen, **changes)
        with pytest.raises(SpecError, match=sentence):
            run_audit(audit)
        assert not audit.folder.exists()


def test_test_rows_that_the_victim_would_refuse_are_named(
    settings: dict[str, object], make_audit: MakeAudit
) -> None:
    test = settings["test"]
    assert isinstance(test, LabelledInputs)
    settings["test"] = replace(test, inputs=test.inputs + 9)
    with pytest.raises(SpecError, match=r"The test set toy does not fit the victim.*'n0'"):
        run_audit(make_audit(TramerLr(), **settings))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"victim": "iris-softmax", "attack": "knockoff:shared"}, "knockoff:shared attacks images"),
        ({"victim": "digits-lenet", "attack": "tramer_lr"}, "tramer_lr attacks tables"),
        ({"victim": "own:model", "attack": ["tramer_lr", "dfme"]}, "dfme attacks images"),
        ({"victim": "iris-softmax", "attack": "tramer_lr", "allow": "x"}, "Leave `allow` out"),
    ],
)
def test_a_spec_does_not_mix_them_either(written: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        make_spec(written)


def test_the_command_line_audits_a_table_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    attack = ["--attack", "tramer_lr", "--uniform"]
    done = run("audit", "iris-softmax", *attack, "50", "--out", "a")
    assert "A clone that cost 20 queries agrees with your model on 100 %" in done.out
    assert read_result(tmp_path / "a").evaluation == 45 + 50

    train = load_table("iris", "train")
    model = LogisticRegression(max_iter=1_000).fit(train.inputs.numpy(), train.labels.numpy())
    skops.io.dump(model, tmp_path / "model.skops")
    done = run("audit", "model.skops", "--test", "iris", *attack, "0", "--out", "b")
    assert "A clone that cost 20 queries" in done.out
    assert run("verify", "b").status == 0
    assert "finished already" in run("resume", "b").err
    refused = run("replay", "b", "--student", "lenet")
    assert refused.status == 2
    assert "no other student can be trained" in refused.err


def test_a_graph_of_a_table_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two outputs, as skl2onnx writes them: the class, and the probabilities."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 3)), rng.normal(size=3)
    f32, i64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    nodes = [
        onnx.helper.make_node("Gemm", ["x", "w", "b"], ["scores"]),
        onnx.helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        onnx.helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    constants = {"w": weight, "b": bias}
    graph = onnx.helper.make_graph(
        nodes, "iris", [onnx.helper.make_tensor_value_info("x", f32, ["n", 4])],
        [onnx.helper.make_tensor_value_info("label", i64, ["n"]),
         onnx.helper.make_tensor_value_info("probabilities", f32, ["n", 3])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name)
         for name, value in constants.items()],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), "iris.onnx")
    done = run("audit", "iris.onnx", "--test", "iris", "--attack", "tramer_lr", "--uniform", "50")
    assert "A clone that cost 20 queries agrees with your model on 100 %" in done.out


def test_a_plan_of_a_table_counts_its_uniform_rows() -> None:
    done = run("plan", "iris-softmax", "--attack", "tramer_lr", "--budget", "20")
    assert "10,045 rows of iris and uniform ones" in " ".join(done.out.split())


def test_what_there_is_of_tables_is_listed() -> None:
    assert "tramer_tree" in run("list", "attacks").out
    assert "iris-softmax" in run("list", "victims").out
    assert "breast_cancer" in run("list", "datasets").out
