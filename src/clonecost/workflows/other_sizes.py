"""Whether a victim of pictures takes other sizes than its own: one counted row of each."""

import json
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from torch.nn import functional as F

from clonecost.config import Spec, lost_limit, make_defence
from clonecost.config.build import Parts
from clonecost.defences import defend
from clonecost.errors import LostRowsError, VictimError
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.persistence import run_folder
from clonecost.result.fingerprint import OtherSize
from clonecost.types import ProxyData

FOLDER = "sizes"  # of a ledger for each size
FACTORS = ((0.5, 0.5), (2.0, 2.0), (1.0, 1.5))  # of height and width


def try_sizes(spec: Spec, parts: Parts, pool: ProxyData, out: Path) -> list[OtherSize]:
    """Ask the first picture of a pool in each of some other sizes, and say which are taken.

    Each is counted in a ledger of its own under `out/sizes`, a refused one as lost or as refused;
    a size that was asked before is not asked again.

    Raises:
        CloneCostError: the ledger cannot be written.
    """
    folder = run_folder.make(out, FOLDER)
    return [_tried(spec, parts, pool, folder, *factors) for factors in FACTORS]


def _tried(
    spec: Spec, parts: Parts, pool: ProxyData, folder: Path, tall: float, wide: float
) -> OtherSize:
    channels, *own = parts.threat.input_shape
    height, width = (max(1, round(side * by)) for side, by in zip(own, (tall, wide), strict=True))
    picture = F.interpolate(pool.rows(slice(0, 1)), size=(height, width), mode="area")
    threat = replace(parts.threat, input_shape=(channels, height, width), query_budget=1)
    identity = {"size": [parts.victim.name, parts.victim.weights], "defences": spec.defence,
                "answers": [threat.answers, threat.top_k], "pool": pool.fingerprint}  # fmt: skip
    ledger = Ledger(
        folder / f"{height}x{width}.sqlite", audit=json.dumps(identity, sort_keys=True),
        input_shape=threat.input_shape, num_classes=threat.num_classes,
    )  # fmt: skip
    with closing(ledger):
        if not ledger.first_refusal("attack", lost=True):
            oracle = Oracle(
                defend(parts.victim.answer, *map(make_defence, spec.defence)), threat, ledger,
                max_lost=lost_limit(spec), rows_in_flight=parts.victim.rows_in_flight,
                skips_refused=True,
            )  # fmt: skip
            with suppress(VictimError, LostRowsError):  # the ledger has the reason
                oracle(picture)
        why = ledger.first_refusal("attack", lost=True)
    return OtherSize(height=height, width=width, taken=not why, why_not=why)
