"""Read a document of this package: a JSON file that fits one of its models."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from clonecost.errors import Remedy, RunError
from clonecost.result.rates import Model

M = TypeVar("M", bound=Model)


def read_document(path: Path, model: type[M], *remedies: Remedy) -> M | None:
    """Read `path` as a `model`, whose field `schema` names it; None if there is no such file.

    Args:
        remedies: what makes a document that fits.

    Raises:
        RunError: the file does not fit the model; it says where.
    """
    if not path.is_file():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = first["msg"].removeprefix("Value error, ")
        schema = model.model_fields["schema_"].default
        raise RunError(
            f"{path} is not a {schema} document: {where}: {reason}", *remedies
        ) from error
