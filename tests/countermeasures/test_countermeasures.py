"""What each countermeasure makes of served answers, and the published breakages in miniature."""

from pathlib import Path

import pytest
import torch
from tests.support.toys import CLASSES, SHAPE, MakeAudit, toy_student
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import run_audit
from clonecost.countermeasures import COUNTERMEASURES, Countermeasure, Known
from clonecost.countermeasures.averaging import Averaging
from clonecost.countermeasures.inverse import Inverse
from clonecost.countermeasures.jitter import Jitter
from clonecost.countermeasures.label_only import LabelOnly
from clonecost.countermeasures.recovery_net import RecoveryNet
from clonecost.countermeasures.recovery_table import RecoveryTable
from clonecost.countermeasures.sharpen import Sharpen
from clonecost.defences import DEFENCES, defend
from clonecost.errors import SpecError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.types import Defence, Feature, ThreatModel

ROWS = 200


def drawn(concentration: float) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = torch.distributions.Dirichlet(torch.full((10,), concentration)).sample((ROWS,))
    return (rows + 1e-7) / (1 + 1e-6)  # no exact zero


@pytest.fixture
def clean() -> Tensor:
    """Sharp answers, as a trained victim's."""
    return drawn(0.03)


@pytest.fixture
def flat() -> Tensor:
    """Answers in which noise that is cut off at 0 has little bias."""
    return drawn(2.0)


def seen(
    counter: Countermeasure, defences: list[Defence], clean: Tensor, folder: Path,
    known_clean: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """What an attack sees that asks for `clean`, row by row, and the batches that were sent."""
    sent: list[Tensor] = []
    repeats = counter.repeats

    def victim(inputs: Tensor, /) -> Tensor:
        sent.append(inputs)
        return clean.repeat_interleave(repeats, 0)

    threat = ThreatModel(
        input_shape=SHAPE, num_classes=clean.shape[1], query_budget=len(clean) * repeats
    )
    ledger = Ledger(
        folder / "ledger.sqlite", audit="test", input_shape=SHAPE, num_classes=clean.shape[1]
    )
    oracle = Oracle(defend(victim, *defences), threat, ledger)
    view = counter.view(oracle, Known.of(defences, 0, known_clean))
    inputs = torch.rand(len(clean), *SHAPE, generator=torch.Generator().manual_seed(3))
    return view(inputs), sent


def error(found: Tensor, clean: Tensor) -> float:
    return float((found - clean).abs().sum(1).mean())


def test_label_only_sees_the_served_top_class(clean: Tensor, tmp_path: Path) -> None:
    found, _ = seen(LabelOnly(), [DEFENCES["temperature"](temperature=3)], clean, tmp_path)
    assert torch.equal(found, torch.nn.functional.one_hot(clean.argmax(1), 10).float())


def test_temperature_is_undone_exactly(clean: Tensor, tmp_path: Path) -> None:
    defences = [DEFENCES["temperature"](temperature=3)]
    found, _ = seen(Inverse(), defences, clean, tmp_path)
    assert (found - clean).abs().max() < 1e-5


def test_a_wrong_guess_of_the_temperature_is_not(clean: Tensor, tmp_path: Path) -> None:
    defences = [DEFENCES["temperature"](temperature=3)]
    found, _ = seen(Inverse(temperature=2), defences, clean, tmp_path)
    assert error(found, clean) > 0.05


def test_a_temperature_that_nobody_told_is_fitted(clean: Tensor, tmp_path: Path) -> None:
    defences = [DEFENCES["temperature"](temperature=3)]
    served = defend(lambda _: clean, *defences)(torch.rand(ROWS, *SHAPE))
    errors = {}
    for sure in (float(clean.amax(1).mean()), 0.95):
        (tmp_path / str(sure)).mkdir()
        found, _ = seen(Sharpen(confidence=sure), defences, clean, tmp_path / str(sure))
        errors[sure] = error(found, clean)
        assert torch.equal(found.argmax(1), served.argmax(1))
    assert errors.pop(float(clean.amax(1).mean())) < 1e-4  # a right guess gives T itself
    assert errors[0.95] < 0.5 * error(served, clean)


def test_averaging_comes_nearer_to_the_answer_behind_fresh_noise(
    flat: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    defences = [DEFENCES["noise"](scale=0.1, keep_top=False)]
    errors = {}
    for repeats in (2, 16):
        (tmp_path / str(repeats)).mkdir()
        found, _ = seen(Averaging(repeats=repeats), defences, flat, tmp_path / str(repeats))
        errors[repeats] = error(found, flat)
    (tmp_path / "vote").mkdir()
    found, _ = seen(Averaging(repeats=16, kind="vote"), defences, flat, tmp_path / "vote")
    assert errors[16] < 0.9 * errors[2]
    single = defend(lambda _: flat, *defences)(torch.rand(ROWS, *SHAPE))
    right = [(one.argmax(1) == flat.argmax(1)).float().mean() for one in (single, found)]
    assert right[1] > right[0] + 0.1
    # cutting off at 0 is biased: no number of repeats gives the answer itself
    assert errors[16] > 0.05


def test_repeats_do_not_average_consistent_noise_and_jitter_does(
    flat: Tensor, tmp_path: Path
) -> None:
    defences = [DEFENCES["noise"](scale=0.1, keep_top=False, consistent=True)]
    errors = {}
    for counter in (Averaging(repeats=8), Jitter(repeats=8)):
        folder = tmp_path / type(counter).__name__
        folder.mkdir()
        errors[type(counter)] = error(seen(counter, defences, flat, folder)[0], flat)
    assert errors[Jitter] < 0.8 * errors[Averaging]


def test_jitter_votes_away_wrong_labels(clean: Tensor, tmp_path: Path) -> None:
    defences = [DEFENCES["dawn"](rate=0.2)]
    found, _ = seen(Jitter(repeats=7, kind="vote"), defences, clean, tmp_path)
    assert (found.argmax(1) == clean.argmax(1)).float().mean() > 0.95


@pytest.mark.parametrize("change", ["pixels", "shift"])
def test_jitter_changes_little_and_is_a_function_of_the_row(
    clean: Tensor, tmp_path: Path, change: str
) -> None:
    (tmp_path / "again").mkdir()
    counter = COUNTERMEASURES["jitter"](repeats=4, change=change, share=0.05)
    sent = [seen(counter, [], clean, folder)[1][0] for folder in (tmp_path, tmp_path / "again")]
    assert torch.equal(*sent)
    copies = sent[0].view(ROWS, 4, *SHAPE)
    others = (copies[:, 1:] != copies[:, :1]).flatten(2).float().mean(2)
    assert (others > 0).all()  # every copy differs from the row
    assert float(sent[0].min()) >= 0
    assert float(sent[0].max()) <= 1
    if change == "pixels":
        assert (copies - copies[:, :1]).abs().max() < 1.01 / 255
        assert 0.02 < float(others.mean()) < 0.1


def test_jitter_moves_the_numbers_of_a_table_and_no_category(tmp_path: Path) -> None:
    features = (Feature(name="a", low=0, high=10), Feature(name="b", categories=("x", "y")))
    threat = ThreatModel(input_shape=(2,), num_classes=2, query_budget=40, features=features)
    sent: list[Tensor] = []

    def victim(rows: Tensor, /) -> Tensor:
        sent.append(rows)
        return torch.full((len(rows), 2), 0.5)

    ledger = Ledger(tmp_path / "ledger.sqlite", audit="test", input_shape=(2,), num_classes=2)
    rows = torch.tensor([[0.0, 1.0], [10.0, 0.0], [5.0, 1.0]])
    Jitter(repeats=3, share=1.0).view(Oracle(victim, threat, ledger), Known(()))(rows)
    copies = sent[0].view(3, 3, 2)
    assert torch.equal(copies[:, :, 1], rows[:, 1:].expand(3, 3))
    moved = (copies[:, 1:, 0] - rows[:, :1]).abs()
    assert torch.allclose(moved, torch.full((3, 2), 0.01), atol=1e-5)


def test_every_copy_of_a_table_s_row_differs_from_it(tmp_path: Path) -> None:
    """Also where few features are numbers, and where one of them is missing."""
    numbers = [Feature(name="a", low=0, high=10), Feature(name="b", low=0, high=10)]
    features = (*(Feature(name=str(k), categories=("x", "y")) for k in range(8)), *numbers)
    threat = ThreatModel(input_shape=(10,), num_classes=2, query_budget=800, features=features,
                         incomplete=True)  # fmt: skip
    sent: list[Tensor] = []

    def victim(rows: Tensor, /) -> Tensor:
        sent.append(rows)
        return torch.full((len(rows), 2), 0.5)

    ledger = Ledger(tmp_path / "ledger.sqlite", audit="test", input_shape=(10,), num_classes=2)
    rows = torch.cat([torch.ones(200, 8), torch.full((200, 1), torch.nan),
                      torch.linspace(1, 9, 200)[:, None]], 1)  # fmt: skip
    Jitter(repeats=4, share=0.05).view(Oracle(victim, threat, ledger), Known(()))(rows)
    copies = sent[0].view(200, 4, 10)
    assert (copies[:, 1:, 9] != rows[:, 9:]).all()
    assert (copies[:, :, :8] == 1).all()


@pytest.mark.parametrize("counter", [RecoveryTable(rows=20_000), RecoveryNet(rows=5_000)])
def test_recovery_undoes_a_temperature_with_an_honest_prior(
    clean: Tensor, tmp_path: Path, counter: Countermeasure
) -> None:
    """defences.md §3.2: .756 served, .183 by table; here other rows, the same direction."""
    defences = [DEFENCES["temperature"](temperature=3)]
    served = defend(lambda _: clean, *defences)(torch.rand(ROWS, *SHAPE))
    found, _ = seen(counter, defences, clean, tmp_path)
    assert error(found, clean) < 0.6 * error(served, clean)
    assert torch.allclose(found.sum(1), torch.ones(ROWS), atol=1e-5)


def test_an_honest_prior_loses_to_labels_behind_a_reverse_sigmoid_and_a_leak_does_not(
    clean: Tensor, tmp_path: Path
) -> None:
    defences = [DEFENCES["reverse_sigmoid"](beta=0.7, gamma=0.2)]
    found = {}
    for centres in ("served", "clean"):
        (tmp_path / centres).mkdir()
        counter = RecoveryTable(rows=20_000, centres=centres)
        assert counter.bound == (centres == "clean")
        found[centres], _ = seen(counter, defences, clean, tmp_path / centres, clean)
    labels = torch.nn.functional.one_hot(clean.argmax(1), 10).float()
    assert error(found["clean"], clean) < error(labels, clean) < error(found["served"], clean)


# -- in an audit ---------------------------------------------------------------------------------

QUICK = Knockoff(recipe="shared", epochs=2)
LONGER = Knockoff(recipe="shared", epochs=8)


def clone_of(
    make_audit: MakeAudit, out: Path, attack: Knockoff = QUICK, **changes: object
) -> tuple[object, bytes]:
    threat = ThreatModel(
        input_shape=SHAPE, num_classes=CLASSES, query_budget=300,
        answers=changes.pop("answers", "probs"),  # type: ignore[arg-type]
    )  # fmt: skip
    result = run_audit(
        make_audit(attack, out=out, threat=threat, milestones=(), student=toy_student, **changes)
    )
    return result.curve, (out / "clone.safetensors").read_bytes()


@pytest.mark.parametrize("defence", [
    DEFENCES["mad"](epsilon=1.0), DEFENCES["modelguard_w"](epsilon=1.0),
    DEFENCES["noise"](scale=0.3), DEFENCES["temperature"](temperature=8.0),
], ids=lambda one: type(one).__name__)  # fmt: skip
def test_a_defence_that_keeps_the_top_class_is_labels_to_the_bit(
    make_audit: MakeAudit, tmp_path: Path, defence: Defence
) -> None:
    """defences.md §10: the label attacker behind it is the one without a defence."""
    labels = clone_of(make_audit, tmp_path / "labels", answers="label")
    behind = clone_of(make_audit, tmp_path / "behind", defences=[defence], counter=LabelOnly())
    assert behind == labels


def test_labels_beat_the_naive_attacker_behind_a_reverse_sigmoid(
    make_audit: MakeAudit, tmp_path: Path
) -> None:
    defences = [DEFENCES["reverse_sigmoid"](beta=1.0, gamma=0.8, keep_top=True)]
    naive, _ = clone_of(make_audit, tmp_path / "naive", LONGER, defences=defences)
    label, _ = clone_of(
        make_audit, tmp_path / "label", LONGER, defences=defences, counter=LabelOnly()
    )
    assert label[-1].agreement.value > naive[-1].agreement.value + 0.05  # type: ignore[index]


@pytest.mark.parametrize(("name", "settings"), [
    ("averaging", {"repeats": 1}), ("averaging", {"kind": "median"}), ("jitter", {"repeats": 0}),
    ("jitter", {"share": 0.0}), ("jitter", {"change": "rotate"}),
    ("jitter", {"change": "shift", "repeats": 10}), ("recovery_table", {"rows": 3}),
    ("recovery_table", {"tolerance": -1.0}), ("recovery_table", {"centres": "true"}),
    ("recovery_net", {"epochs": 0}), ("recovery_net", {"lr": 0.0}), ("recovery_net", {"rows": 1}),
    ("recovery_net", {"batch_size": 1}), ("inverse", {"temperature": 0.0}),
    ("sharpen", {"confidence": 1.0}),
])  # fmt: skip
def test_a_bad_setting_is_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        COUNTERMEASURES[name](**settings)
