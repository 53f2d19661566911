"""A user's own file of a table, .csv or .npz or .parquet, as the arguments of `table`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clonecost.data.csv_size import must_be_small_enough
from clonecost.data.csv_text import read_cells, typed
from clonecost.data.frames import chosen, label_column, respelled
from clonecost.data.npz import read_npz
from clonecost.data.stated import StatedTable
from clonecost.errors import Advice, DataError
from clonecost.persistence.file_limits import must_fit_memory, regular_file
from clonecost.safe_text import first_line
from clonecost.types import Feature


def read_table_file(
    path: Path, features: Sequence[Feature] | None, stated: StatedTable
) -> dict[str, Any]:
    """The arguments of `clonecost.data.tables.table` that a file gives.

    Args:
        path: a .csv file with a header, a .parquet file, or an .npz file.
        features: ranges and categories that the owner gave; they choose the columns.
        stated: what the model states of its columns.

    Raises:
        DataError: the file is damaged, or has no fitting columns.
    """
    regular_file(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        must_be_small_enough(path)
        return _from_csv(path, features, stated)
    if suffix == ".parquet":
        return _from_parquet(path, features, stated)
    if suffix == ".npz":
        return _from_npz(path, features)
    raise DataError(
        f"{path} is not in a format that is read here.",
        Advice("give a .csv, .npz or .parquet file"),
    )


def _from_csv(
    path: Path, features: Sequence[Feature] | None, stated: StatedTable
) -> dict[str, Any]:
    cells = read_cells(path, stated.names or ())
    cells.columns = respelled(list(cells.columns), stated)
    label = label_column(list(cells.columns), features, stated, str(path))
    labels = None if label is None else cells.pop(label).to_numpy(dtype=object)
    names, known = chosen(list(cells.columns), features, stated, str(path))
    frame = cells[names].copy()
    for name, feature in zip(names, known, strict=True):
        if feature and feature.categories:  # words, whatever they look like
            frame[name] = frame[name].mask(frame[name] == "", None)
        else:
            frame[name] = typed(frame[name], str(path))
    return {"inputs": frame, "labels": labels, "features": features, "name": str(path)}


def _from_parquet(
    path: Path, features: Sequence[Feature] | None, stated: StatedTable
) -> dict[str, Any]:
    try:
        from pandas import read_parquet
        from pyarrow.parquet import read_metadata
    except ImportError as error:
        raise DataError(
            f"{path} needs the packages pandas and pyarrow.",
            Advice("run `pip install 'clonecost[tabular,parquet]'`"),
        ) from error
    try:
        about = read_metadata(path)
        groups = [about.row_group(k).total_byte_size for k in range(about.num_row_groups)]
        must_fit_memory(str(path), max(sum(groups), 8 * about.num_rows * about.num_columns))
        frame = read_parquet(path)
    except DataError:
        raise
    except Exception as error:  # pyarrow raises several unrelated types
        raise DataError(
            f"{path} cannot be read as Parquet ({first_line(error)}).",
            Advice("get the file again"),
        ) from error
    frame.columns = respelled([str(name) for name in frame.columns], stated)
    if not len(frame):
        raise DataError(f"{path} has no rows.", Advice("add rows"))
    label = label_column(list(frame.columns), features, stated, str(path))
    labels = None if label is None else frame.pop(label).to_numpy(dtype=object)
    return {"inputs": frame, "labels": labels, "features": features, "name": str(path)}


def _from_npz(path: Path, features: Sequence[Feature] | None) -> dict[str, Any]:
    arrays = read_npz(path)
    inputs = arrays.get("inputs", arrays.get("x"))
    labels = arrays.get("labels", arrays.get("y"))
    if inputs is None or labels is None:
        missing = "inputs" if inputs is None else "labels"
        raise DataError(
            f"{path} has no array called {missing}.", Advice("rename one of its arrays")
        )
    names = [str(name) for name in arrays.get("features", ())]
    if features is None and "low" in arrays and "high" in arrays:
        try:
            features = tuple(
                Feature(name=names[k] if k < len(names) else f"feature {k}", low=low, high=high)
                for k, (low, high) in enumerate(
                    zip(arrays["low"].tolist(), arrays["high"].tolist(), strict=True)
                )
            )
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: low and high are no ranges: {error}.",
                Advice("save one `low` and one larger `high` for each column"),
            ) from error
    return {
        "inputs": inputs, "labels": labels, "features": features, "names": names,
        "name": str(path), "classes": [str(name) for name in arrays.get("classes", ())],
    }  # fmt: skip
