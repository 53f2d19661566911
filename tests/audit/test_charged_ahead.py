"""An audit whose rows are charged ahead, as on a GPU, ends as any other."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.stopping import stopping
from tests.support.toys import MakeAudit

from clonecost.audit import run_audit
from clonecost.oracle import Oracle
from clonecost.oracle.record import Record
from clonecost.types import ThreatModel, Victim


def charging_ahead(*args: Any, **settings: Any) -> Oracle:
    account = settings.get("account", "attack")
    return Oracle(*args, **{**settings, "ahead": account == "attack"})


def test_its_clone_and_its_count_are_the_same_after_a_stop_too(
    make_audit: MakeAudit,
    victim: Victim,
    threat: ThreatModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    little = replace(threat, query_budget=600)
    plain = run_audit(make_audit("dfme", out=tmp_path / "plain", threat=little))
    monkeypatch.setattr("clonecost.audit.run.Oracle", charging_ahead)
    folder = tmp_path / "ahead"
    changes: dict[str, Any] = {"out": folder, "threat": little}
    with pytest.raises(KeyboardInterrupt):
        run_audit(make_audit("dfme", victim=stopping(victim, 400), **changes))
    result = run_audit(make_audit("dfme", **changes))
    assert result.curve == plain.curve
    clones = [place / "clone.safetensors" for place in (folder, tmp_path / "plain")]
    assert clones[0].read_bytes() == clones[1].read_bytes()
    with closing(Record.read(folder / "ledger.sqlite")) as record:
        assert record.verify() == []
        assert record.totals("attack").reserved == 0
        assert record.totals("attack").lost == result.lost
