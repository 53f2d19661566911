"""`run/transfer.json`: adversarial examples made on the clone, sent to the victim."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from clonecost.errors import RunWorkflow
from clonecost.result.rates import Model, Rate
from clonecost.result.reading import read_document


class Strength(Model):
    """Adversarial examples of one kind and size, made on the clone."""

    method: str = Field(description="fgsm, pgd, mim; noise: the control, with random signs")
    epsilon: float = Field(gt=0, le=1, description="the largest change of a pixel in [0, 1]")
    fooled: Rate = Field(
        description="rows that the victim classified correctly before and incorrectly after; "
        "without labels, rows whose class changed"
    )
    fooled_clone: Rate = Field(description="of the same rows, those the clone then misclassifies")


class Transfer(Model):
    """Transferability of adversarial examples made on the clone, as in `RUN/transfer.json`."""

    schema_: Literal["clonecost/transfer/2"] = Field(default="clonecost/transfer/2", alias="schema")
    rows: int = Field(description="test rows that were sent unchanged")
    right: int = Field(description="rows that the victim classified correctly; only these count")
    labelled: bool = Field(
        description="false: the test set has no labels, and the victim's own answer to the "
        "unchanged row stands for its class, so that all rows count"
    )
    queries: int = Field(description="rows answered, clean ones and noise included")
    lost: int = Field(description="rows paid without an answer")
    seed: int
    found: list[Strength]
    seconds: float
    ledger: str = Field(description="the transfer's ledger, relative to the run folder")
    ledger_head: str
    clone: str = Field(description="sha256 of the clone's file")

    model_config = Model.model_config | {"populate_by_name": True, "serialize_by_alias": True}


def read_transfer(run: Path) -> Transfer | None:
    """Read `run/transfer.json`; None if the run has no transfer.

    Raises:
        RunError: the file does not fit this version's schema.
    """
    return read_document(run / "transfer.json", Transfer, RunWorkflow("transfer", run))
