"""Tables with a row for each class: a page holds them whole only while a person could read them."""

from collections.abc import Callable

from clonecost.report.model import Block, Details, Grid, fine

MOST_LISTED = 200  # classes; a table of 10,000 makes a page of 3 MB


def all_classes(number: int, grid: Callable[[], Grid]) -> Block:
    """The table of all classes, folded; where they are too many, the place that has them.

    Args:
        number: of the classes.
        grid: makes the table.

    Example:
        >>> all_classes(10_000, grid).words
        'All 10,000 classes are in result.json.'
    """
    if number > MOST_LISTED:
        return fine(f"All {number:,} classes are in result.json.")
    return Details(f"All {number} classes", (grid(),))
