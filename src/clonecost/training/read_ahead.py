"""Batches of rows in their order; of rows that are read from a disk, the next one meanwhile."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from clonecost.types import Rows


def batches_of(
    rows: Rows, order: Sequence[Tensor], device: torch.device | str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each index of `order`, (m,) int64 on any device, with its rows on `device`.

    Rows that are no tensor are read in a thread, one batch ahead of the caller.

    Example:
        >>> order = [torch.tensor([4, 2])]
        >>> [rows.tolist() for _, rows in batches_of(torch.arange(5), order, "cpu")]
        [[4, 2]]
    """
    if isinstance(rows, Tensor):
        for index in order:
            yield index, rows.index_select(0, index.to(rows.device)).to(device)
        return
    on_cpu = [index.cpu() for index in order]
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        waiting = [reader.submit(rows.__getitem__, index) for index in on_cpu[:1]]
        for number, index in enumerate(order):
            batch = waiting.pop().result()
            waiting += [reader.submit(rows.__getitem__, more) for more in on_cpu[number + 1 :][:1]]
            yield index, batch.to(device)
