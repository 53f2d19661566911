"""Random fault schedules: whatever happens to a run, the books are right and the clone is the same.

    python -m tests.support.faults --schedules 200 --seed 0

A schedule is an attack and a few sessions of one run. Each session is a process of its own that
meets one fault; the last one meets none. The victim counts the rows that reach it in memory that
outlives its process, before it answers. After each session must hold:

    rows at the victim <= settled + lost + reserved rows of the ledger, and equal but for rows that
    were charged and not yet sent when a signal came; never more settled than the budget; the chain
    of digests is whole; whoever is told something is told one sentence

and in the end: clone, curve, traffic and samples are those of the undisturbed run, to the byte.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from tests.support.fault_bench import (
    BUDGET,
    SAID,
    STOPPED,
    TEST_ROWS,
    Bench,
    Wire,
    accounted,
    files,
    linear,
    outcome,
    row_by_row,
    session,
    straight,
)
from tests.support.fault_kinds import ANYWHERE, FAULTS, damaged_snapshot, power_cut
from tests.support.remote_bench import FaultyServer, RemoteBench, RemoteWire

from clonecost.result import read_result
from clonecost.workflows.verify import verify

ATTACKS = ("knockoff", "dfme", "disguide", "dual_students", "maze", "maze_pd", "ideal",
           "frugal_ripper", "black_box_ripper", "dfms")  # fmt: skip


REMOTE = {"ctrl_c", "killed", "full_disk", "file_limit", "slow", "second_process"}


def play(
    number: int, seed: int, folder: Path,
    known: dict[str, tuple[dict[str, object], dict[str, bytes]]], tally: Counter[str],
    server: "FaultyServer | None" = None,
) -> None:  # fmt: skip
    """One schedule.

    Raises:
        AssertionError: something that must hold does not.
    """
    dice = random.Random(1_000_003 * seed + number)
    attacks = ATTACKS if server is None else ("knockoff", "disguide")
    attack = attacks[number % len(attacks)]
    if attack not in known:
        model = linear() if server is None else row_by_row(linear())
        known[attack] = straight(attack, folder, model)
    wire = Wire(linear()) if server is None else RemoteWire(server)
    bench = (Bench if server is None else RemoteBench)(
        attack, folder / f"{number}", wire, every=dice.choice([0.0, 0.0, 0.05, 120.0]),
        keep=dice.choice(["all", "none"]),
    )  # fmt: skip
    earlier = wire.rows
    if server is not None:
        server.upset(dice.choice([0, 10, 30]))
    bench.folder.mkdir()
    spare = 0  # rows that may be in the ledger and never reached the victim
    for _ in range(dice.randrange(1, 6)):
        name = dice.choice(sorted(FAULTS if server is None else REMOTE))
        at, private = dice.randrange(1, TEST_ROWS + BUDGET), random.Random(dice.random())
        fault = partial(FAULTS[name], bench, wire, at, private)
        status, said = session(bench, wire, fault)
        tally[name] += 1
        assert status in (0, SAID, STOPPED, -signal.SIGKILL, -signal.SIGALRM), f"{name}: {said}"
        if status == SAID:
            tally["sentences"] += 1
            assert said.strip(), name
            assert "\n" not in said.strip(), said
        booked, bought = accounted(bench)
        over = booked - (wire.rows - earlier) - spare
        assert over >= 0, f"{name}: {-over} rows at the victim are in no book"
        assert over == 0 or name in ANYWHERE, f"{name}: {over} rows were charged and never sent"
        spare += over
        assert bought <= BUDGET
        if status < 0:
            power_cut(bench, dice)
            accounted(bench)
        damaged_snapshot(bench, dice)
    if server is not None:
        server.upset(0)
    status, said = session(bench, wire, lambda: None)
    assert status == 0, said
    booked, bought = accounted(bench)
    result = read_result(bench.run)
    rows = wire.rows - earlier
    assert booked - spare == rows, f"{booked} in the books, {rows} at the victim"
    assert rows == result.provenance.ledger_rows - spare
    assert bought == result.spent
    before, written = known[attack]
    assert "victim-changed" not in [flag.code for flag in result.flags]
    assert outcome(result) == before, "another result"
    assert files(bench) == written, "another clone, or other samples"
    assert verify(bench.run).faults == ()
    assert not (bench.run / "snapshots").exists()
    tally["lost rows"] += result.lost
    tally["charged, never sent"] += spare
    shutil.rmtree(bench.folder)


def today() -> int:
    """The date as a number, in UTC: the seed of a day."""
    return int(datetime.now(UTC).strftime("%Y%m%d"))


def main(words: Sequence[str] | None = None) -> int:
    """Play the schedules that the words of a command line ask for; 0 if nothing broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=today(), help="another one every day")
    parser.add_argument("--http", action="store_true", help="a victim behind a faulty server")
    asked = parser.parse_args(words)
    print(f"seed {asked.seed}", flush=True)
    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    known: dict[str, tuple[dict[str, object], dict[str, bytes]]] = {}
    server = FaultyServer() if asked.http else None
    broken = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place, suppress(KeyboardInterrupt):
        for number in range(asked.first, asked.first + asked.schedules):
            try:
                play(number, asked.seed, Path(place), known, tally, server)
            except AssertionError as error:
                broken += 1
                print(f"schedule {number} (seed {asked.seed}): {error}", flush=True)
            tally["schedules"] += 1
    if server is not None:
        server.close()
    print(f"{tally['schedules']} schedules, {broken} broken, {time.monotonic() - began:.0f} s")
    print(", ".join(f"{name} {count}" for name, count in sorted(tally.items())))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
