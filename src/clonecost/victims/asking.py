"""A victim out of a function that gives scores: the scores' form is found before the first answer.

A local victim is asked a few rows of our own (`clonecost.victims.probe_rows`), which cost nothing;
an endpoint is never asked an uncounted row, so the first answers that are bought decide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clonecost.errors import VictimError
from clonecost.types import Feature, Shape, Shown, Victim
from clonecost.victims.answer_form import AnswerForm, Outputs, decide, must_still_be
from clonecost.victims.probe_rows import far_rows, probe_rows, unchanged_generators

Scores = Callable[[Tensor], Tensor]  # (n, *shape) rows -> (n, columns) scores


@dataclass(frozen=True)
class Asked:
    """A victim, and the form of its scores.

    Attributes:
        answer: rows -> probabilities.
        form: the form; None before the first answer of a victim that could not be asked.
    """

    answer: Victim
    form: Callable[[], AnswerForm | None]

    def shows(self) -> Shown | None:
        """How much an answer shows, where that follows from the form."""
        form = self.form()
        return ("label", None) if form and form.outputs == "label" else None


def asked(
    scores: Scores,
    *,
    where: str,
    outputs: Outputs | None = None,
    num_classes: int | None = None,
    input_shape: Shape | None = None,
    features: Sequence[Feature] | None = None,
    local: bool = True,
    picky: bool = False,
) -> Asked:
    """A victim whose form is decided now if its input shape is known, else at its first call.

    Args:
        scores: the model.
        where: its name, for messages.
        outputs: what the owner states that it returns.
        num_classes: the audit's number of classes; None: the model's own.
        input_shape: of one row; None: that of the first rows that are sent.
        features: the columns, for a table.
        local: rows of our own may be asked; else the first rows that are sent decide.
        picky: the model may refuse rows of our own; then, too, the first rows that are sent decide.

    Raises:
        VictimError: the form is not clear, or a model that is not `picky` failed.
    """
    found: list[AnswerForm] = []

    def decided(seen: Tensor, far: Tensor | None = None) -> None:
        found.append(decide(seen, where=where, num_classes=num_classes, outputs=outputs, far=far))

    def ask(shape: Shape, device: torch.device, picky: bool) -> None:
        rows = probe_rows(shape, features).to(device)
        with unchanged_generators():
            try:
                seen = scores(rows)
            except VictimError:
                if picky:
                    return
                raise
            decided(seen, _far(scores, far_rows(shape, features).to(device)))

    def answer(inputs: Tensor, /) -> Tensor:
        if local and not found and len(inputs):
            ask(tuple(inputs.shape[1:]), inputs.device, picky=True)
        values = scores(inputs)
        if not found and len(values):
            decided(values)
        elif outputs is None and not local and len(values):
            must_still_be(found[0], values, where)
        return found[0].probabilities(values) if found else values  # no row: no form

    if local and input_shape is not None:
        ask(input_shape, torch.device("cpu"), picky)
    return Asked(answer, lambda: found[0] if found else None)


def _far(scores: Scores, rows: Tensor) -> Tensor | None:
    """The finite scores of rows far out of range; None of a model that takes no such rows."""
    try:
        values = scores(rows)
    except VictimError:
        return None
    values = values[torch.isfinite(values.float()).all(1)]
    return values if len(values) else None
