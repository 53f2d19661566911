"""Per-row scores come back from the file as the clone and the victim predicted."""

from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file
from tests.support.synthetic_runs import result, write
from torch import nn

from clonecost.errors import RunError
from clonecost.evaluation.row_scores import row_scores
from clonecost.evaluation.scoring import Reference
from clonecost.persistence.run_folder import ROWS, write_tensors
from clonecost.report import load_runs
from clonecost.types import LabelledInputs

ROWS_OF_TEST = 21  # no multiple of eight


def reference(labelled: bool = True) -> Reference:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (ROWS_OF_TEST,), generator=rng)
    inputs = torch.rand(ROWS_OF_TEST, 3, generator=rng)
    test = LabelledInputs(inputs, labels if labelled else torch.full_like(labels, -1))
    return Reference(test, torch.rand(ROWS_OF_TEST, 3, generator=rng).softmax(1))


@pytest.mark.parametrize("labelled", [True, False])
def test_scores_of_rows_come_back(tmp_path: Path, labelled: bool) -> None:
    known, clone = reference(labelled), nn.Identity()
    folder = write(tmp_path, result())
    fingerprint = known.test.fingerprint
    write_tensors(folder / ROWS, row_scores(clone, known, known.test), {})
    found = load_runs([folder])[0].rows
    assert found is not None
    predicted = known.test.inputs.argmax(1)
    assert found.agrees.tolist() == (predicted == known.predictions).tolist()
    assert found.victim.tolist() == known.predictions.tolist()
    assert found.test == fingerprint
    correct = (predicted == known.test.labels).tolist() if labelled else None
    assert (None if found.correct is None else found.correct.tolist()) == correct


def test_runs_in_which_other_rows_were_refused_have_other_fingerprints() -> None:
    asked = reference().test
    tests = []
    for refused in (0, 1):
        left = torch.arange(ROWS_OF_TEST) != refused
        known = Reference(asked.take(left), reference().answers[left])
        tests.append(row_scores(nn.Identity(), known, asked)["test"].tolist())
    assert tests[0] != tests[1]


def test_a_run_of_an_older_version_has_none(tmp_path: Path) -> None:
    assert load_runs([write(tmp_path, result())])[0].rows is None


def test_broken_scores_are_refused_with_a_remedy(tmp_path: Path) -> None:
    folder = write(tmp_path, result())
    known = reference()
    whole = {k: v.numpy() for k, v in row_scores(nn.Identity(), known, known.test).items()}
    for broken in (
        whole | {"agrees": whole["agrees"][:-1].copy()},
        whole | {"correct": whole["correct"][:-1].copy()},
        whole | {"victim": whole["victim"][:0].copy()},
        {name: tensor for name, tensor in whole.items() if name != "agrees"},
    ):
        save_file(broken, folder / ROWS)
        with pytest.raises(RunError, match=r"rows.safetensors is broken.*Delete it"):
            load_runs([folder])
