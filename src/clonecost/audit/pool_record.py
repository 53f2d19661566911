"""What a run keeps about a pool on disk: the file of each row that was asked, and skipped ones."""

import csv
import io
from collections.abc import Callable

from torch import Tensor

from clonecost.audit.definition import Audit
from clonecost.data import overlap
from clonecost.data.picture_pool import PoolRows
from clonecost.data.values import listed
from clonecost.oracle.hash_chain import DIGEST_BYTES
from clonecost.oracle.ledger import Ledger
from clonecost.oracle.tensor_codec import row_digests
from clonecost.persistence import run_folder
from clonecost.types import ProxyData


def record_pool(audit: Audit, ledger: Ledger, notice: Callable[[str], None]) -> None:
    """Write the file of each asked row beside the ledger; give notice of unusable pictures.

    Rows are known where the run keeps its inputs: the ledger has their places in the pool.
    """
    pool = audit.proxy.inputs if audit.proxy else None
    if not isinstance(pool, PoolRows):
        return
    if pool.unusable:
        reasons = [error.what.removesuffix(".") for error in pool.unusable.values()]
        notice(
            f"{len(reasons):,} of the {len(pool):,} pictures in {pool.where} cannot be used, and "
            f"the next picture is asked instead: {listed(reasons)}"
        )
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("query", "row", "file"))
    for position, place in ledger.asked_places():
        lines.writerow((position, place, pool.file_of(place)))
    if text.tell() > len("query,row,file\n"):
        run_folder.write(audit.folder / run_folder.POOL, text.getvalue())


def overlap_with(audit: Audit, proxy: ProxyData | None, ledger: Ledger) -> int:
    """The number of test rows that the attacker has: in the proxy data, pixel by pixel.

    Of a pool on disk, and of one whose rows are made when they are asked for, only the asked rows
    are compared: to read or make all others would take minutes to hours, and no clone was trained
    on them.
    """
    if proxy is None:
        return 0
    made = not isinstance(proxy.inputs, Tensor) and audit.attack.declares.proxy == "asked"
    if not isinstance(proxy.inputs, PoolRows) and not made:
        return overlap(proxy, audit.test)
    asked = ledger.digests("attack")
    of_test = row_digests(audit.test.inputs)
    starts = range(0, len(of_test), DIGEST_BYTES)
    return sum(of_test[start : start + DIGEST_BYTES] in asked for start in starts)
