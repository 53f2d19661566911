"""The kept inputs of a run, read from its file when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clonecost.errors import LedgerError, SetKey
from clonecost.oracle.input_store import Form, KeptInputs
from clonecost.oracle.tensor_codec import DTYPES, unpack
from clonecost.types import Rows, Shape, as_pixels

Batch = tuple[Form, int, int]  # the form of a batch's inputs, their first byte, and its rows


@dataclass(frozen=True)
class KeptRows:
    """Rows that an attack sent, in its order: memory holds their places, not their inputs.

    They are uint8 if all of them were kept as 8-bit images, else float32, or float64 if some are.

    Example:
        >>> rows, answers = PaidRows.read(path).bought_rows()  # doctest: +SKIP
        >>> rows[torch.tensor([4, 2])].shape  # doctest: +SKIP
        torch.Size([2, 3, 224, 224])
    """

    store: KeptInputs
    pool: Rows | None  # for rows that are kept as indices
    dtype: torch.dtype
    forms: NDArray[np.str_]  # of each batch, as what follows
    offsets: NDArray[np.int64]
    ends: NDArray[np.int64]  # rows up to its end

    @classmethod
    def of(cls, store: KeptInputs, batches: Sequence[Batch], pool: Rows | None) -> "KeptRows":
        """The rows of the batches, one after the other.

        Raises:
            LedgerError: a pool is needed and missing.
        """
        forms = [form for form, _, _ in batches]
        if "index" in forms and pool is None:
            raise LedgerError(
                "The run queried rows of a proxy data set, which is missing", SetKey("proxy")
            )
        kinds = {DTYPES[form] for form in forms if form != "index"}
        if "index" in forms and pool is not None:
            kinds.add(pool[:1].dtype)
        dtype = torch.float64 if torch.float64 in kinds else torch.float32
        return cls(
            store, pool, kinds.pop() if len(kinds) == 1 else dtype, np.array(forms),
            np.array([offset for _, offset, _ in batches], np.int64),
            np.cumsum([count for _, _, count in batches], dtype=np.int64),
        )  # fmt: skip

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def shape(self) -> Shape:
        """(n, *shape)."""
        return (len(self), *self.store.shape)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        """The rows at (m,) places: (m, *shape).

        Raises:
            LedgerError: the file is too short, or the pool is not the one that was queried.
        """
        places = (
            torch.arange(*index.indices(len(self))) if isinstance(index, slice) else index.cpu()
        ).numpy()
        batch = np.searchsorted(self.ends, places, side="right")
        begins = np.concatenate([[0], self.ends])[batch]
        found = torch.empty(len(places), *self.store.shape, dtype=self.dtype)
        forms = self.forms[batch]
        for form in _FORMS:
            here = np.flatnonzero(forms == form)
            if len(here):
                of_batch = (places - begins)[here]
                payload = self.store.rows(form, self.offsets[batch[here]], of_batch)
                rows = unpack(form, payload, self.store.shape, self.pool)
                exact = rows if rows.dtype == self.dtype else as_pixels(rows).to(self.dtype)
                found[torch.from_numpy(here)] = exact
        return found


_FORMS: tuple[Form, ...] = ("index", "uint8", "float32", "float64")
