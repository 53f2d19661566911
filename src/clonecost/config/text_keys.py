"""The keys of texts, and those of other kinds of rows, refused where they describe nothing."""

from typing import Any

from clonecost.config.defaults import of_text
from clonecost.config.schema import Spec
from clonecost.errors import DropKey, SetKey, SpecError

OF_TEXTS = ("label_column", "longest", "price_characters")  # `text_column` alone says text
NOT_OF_TEXTS = (
    "features", "incomplete", "shape", "network", "student", "background", "layout", "pixels",
    "channels", "mean", "std",
)  # fmt: skip


def check_text_keys(spec: Spec) -> None:
    """Refuse keys of texts for a victim of images or a table, and the other way round.

    Raises:
        SpecError: names the key.
    """
    defaults = Spec(victim=spec.victim)

    def given(key: str) -> Any:
        return getattr(spec, key) != getattr(defaults, key)

    if of_text(spec):
        for key in filter(given, NOT_OF_TEXTS):
            raise SpecError(
                f"The key {key} describes images or tables, and the victim takes texts",
                DropKey(key),
            )
        if spec.input_precision != defaults.input_precision:
            raise SpecError("input_precision is of pixels, and the victim takes texts",
                            DropKey("input_precision"))  # fmt: skip
        return
    for key in filter(given, OF_TEXTS):
        raise SpecError(
            f"The key {key} describes texts, and it is not said that the victim takes any",
            SetKey("text_column"), DropKey(key),
        )  # fmt: skip
