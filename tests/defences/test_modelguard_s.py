"""ModelGuard-S: its codebook, and a run that is resumed behind it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support.recording_oracle import RecordingVictim
from tests.support.toys import MakeAudit
from torch import Tensor

from clonecost.attacks.knockoff import Knockoff
from clonecost.audit import Watcher, run_audit
from clonecost.defences import DEFENCES, forgetful
from clonecost.defences.modelguard_s import Codebook
from clonecost.errors import CloneCostError, LedgerError
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.types import ThreatModel, Victim

TEST_ROWS = 400
ATTACK = Knockoff(epochs=1, batch_size=32)
SMALL: dict[str, object] = {"milestones": (), "max_lost": 400}


def behind(epsilon: float) -> Codebook:
    """A codebook whose queries are the victim's answers."""
    found = DEFENCES["modelguard_s"](epsilon=epsilon)(lambda rows: rows)
    assert isinstance(found, Codebook)
    return found


def dirichlet(rows: int, classes: int, concentration: float, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet(np.full(classes, concentration), rows)).float()


def test_the_known_sequence() -> None:
    clean = torch.tensor([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.6, 0.2, 0.2]])
    assert torch.equal(behind(0.5)(clean), clean[[0, 0, 2, 2]])


@pytest.mark.parametrize(("classes", "epsilon"), [(2, 0.02), (3, 0.1), (10, 0.5), (10, 1.0)])
def test_answers_are_those_of_the_rows_one_by_one(classes: int, epsilon: float) -> None:
    clean = dirichlet(400, classes, 0.5, classes)
    book: list[tuple[int, Tensor]] = []
    expected = []
    for row in clean:
        top, near = int(row.argmax()), None
        for one, centroid in book:
            if one == top and float((centroid.double() - row.double()).abs().sum()) <= epsilon:
                near = centroid
                break
        if near is None:
            book.append((top, row))
        expected.append(row if near is None else near)
    at_once, in_parts = behind(epsilon), behind(epsilon)
    assert torch.equal(at_once(clean), torch.stack(expected))
    assert torch.equal(
        torch.cat([in_parts(part) for part in clean.split(7)]), torch.stack(expected)
    )
    assert sum(at_once.sizes.values()) == len(book)


def test_a_codebook_longer_than_one_comparison_is_searched_in_order() -> None:
    clean = dirichlet(900, 3, 1.0)
    book = behind(0.01)
    first = book(clean)
    assert max(book.sizes.values()) > 256
    assert torch.equal(book(clean), first)  # repeats carry no information


def test_the_top_class_stays_and_the_distance_holds() -> None:
    clean = torch.cat([dirichlet(5_000, 10, 0.3), torch.eye(10), torch.full((2, 10), 0.1)])
    found = behind(0.7)(clean)
    assert torch.equal(found.argmax(1), clean.argmax(1))
    assert float((found - clean).abs().sum(1).max()) <= 0.7 + 1e-5


def test_the_ends_of_the_distance() -> None:
    clean = dirichlet(300, 4, 0.5)
    assert behind(0)(clean) is clean
    book = behind(2)
    found = book(clean)
    assert set(book.sizes.values()) == {1}  # a label with a fixed decoration
    assert len(found.unique(dim=0)) == 4


@pytest.mark.parametrize("exact", [False, True])
def test_its_own_answers_rebuild_the_codebook(exact: bool) -> None:
    clean = dirichlet(800, 5, 0.5)
    clean = clean.double() if exact else clean  # a table's victim
    whole, resumed = behind(0.4), behind(0.4)
    early = whole(clean[:500])
    assert early.dtype == clean.dtype
    for part in early.split(64):
        resumed.recall(part)
    assert resumed.sizes == whole.sizes
    assert torch.equal(resumed(clean[500:]), whole(clean[500:]))


def test_only_the_last_defence_behind_all_probabilities_is_rebuilt() -> None:
    own, coarse = DEFENCES["modelguard_s"](), DEFENCES["rounding"]()
    assert forgetful([coarse, own], "probs") is None
    assert forgetful([own, coarse], "probs") == own
    assert forgetful([DEFENCES["modelguard_s"](epsilon=0.5), own], "probs") is not None
    assert forgetful([own], "top_k") == forgetful([own], "label") == own
    assert forgetful([coarse], "label") is None


def answers_of(run: Path) -> Tensor:
    with closing(Ledger.reopen(run / run_folder.LEDGER)) as ledger:
        recorded = ledger.recorded("attack", 0, 10_000)
    assert recorded is not None
    return recorded.answers


def test_a_killed_run_goes_on_with_its_codebook(
    make_audit: MakeAudit, victim: Victim, threat: ThreatModel, tmp_path: Path
) -> None:
    how = {**SMALL, "threat": replace(threat, query_budget=400)}
    how["defences"] = [DEFENCES["modelguard_s"](epsilon=0.1)]
    whole, broken = (make_audit(ATTACK, out=tmp_path / name, **how) for name in ("whole", "broken"))
    expected = run_audit(whole)
    failing = RecordingVictim(victim, fail_at=TEST_ROWS + 300)
    with pytest.raises(CloneCostError):
        run_audit(make_audit(ATTACK, out=tmp_path / "broken", victim=failing, **how))
    found = run_audit(broken)
    assert 1 < len(answers_of(whole.folder).unique(dim=0)) < 200  # the codebook decides
    assert torch.equal(answers_of(whole.folder), answers_of(broken.folder))
    clones = [(run / run_folder.CLONE).read_bytes() for run in (whole.folder, broken.folder)]
    assert clones[0] == clones[1]
    assert found.curve[-1] == expected.curve[-1]


@pytest.mark.parametrize("behind_it", ["rounding", "top_k"])
def test_a_run_whose_record_lacks_the_codebook_is_not_resumed(
    behind_it: str, make_audit: MakeAudit, victim: Victim, threat: ThreatModel
) -> None:
    api = {"answers": "top_k", "top_k": 2} if behind_it == "top_k" else {}
    how = {**SMALL, "threat": replace(threat, query_budget=400, **api)}  # type: ignore[arg-type]
    own = DEFENCES["modelguard_s"](epsilon=0.1)
    how["defences"] = [own] if api else [own, DEFENCES["rounding"]()]
    failing, notices = RecordingVictim(victim, fail_at=TEST_ROWS + 300), list[str]()
    with pytest.raises(CloneCostError):
        run_audit(make_audit(ATTACK, victim=failing, **how), Watcher(notice=notices.append))
    assert ["modelguard_s remembers earlier answers" in one for one in notices] == [True]
    again = RecordingVictim(victim)
    with pytest.raises(LedgerError, match=r"modelguard_s .* nothing was sent"):
        run_audit(make_audit(ATTACK, victim=again, **how))
    assert again.seen == 0
