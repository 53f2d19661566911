"""What stands beside the runs of a report: the panel that they belong to, the grid of defences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clonecost.errors import Advice, RunError
from clonecost.persistence.run_folder import RESULT, is_run, runs_in
from clonecost.report.aggregate import Group
from clonecost.report.load_runs import Run
from clonecost.result.defence_grid import DefenceGrid, read_defence_grid
from clonecost.result.panel import PanelDocument, read_panel


@dataclass(frozen=True)
class Documents:
    """The documents of a folder of runs; None where no such tool ran."""

    panel: PanelDocument | None = None
    grid: DefenceGrid | None = None


NO_DOCUMENTS = Documents()


@dataclass(frozen=True, eq=False)
class Material:
    """All that a report is made from; a detection belongs to its run (`Run.detection`)."""

    groups: tuple[Group, ...]  # as `group_runs` makes them, without those of `measured`
    panel: PanelDocument | None = None
    grid: DefenceGrid | None = None
    measured: tuple[Group, ...] = ()  # runs that the panel made as measures, not as attacks

    @classmethod
    def of(cls, groups: Sequence[Group], documents: Documents) -> "Material":
        """The material of groups and of the documents beside their runs."""
        panel = documents.panel
        names = {one.run for one in panel.measures if one.run} if panel else set()
        is_measure = [{run.name for run in group.runs} <= names for group in groups]
        attacks, measured = (
            tuple(group for group, one in zip(groups, is_measure, strict=True) if one is wanted)
            for wanted in (False, True)
        )
        return cls(attacks, panel, documents.grid, measured)

    @property
    def all_groups(self) -> tuple[Group, ...]:
        """The attacks and the measures."""
        return (*self.groups, *self.measured)


def read_documents(paths: Sequence[Path]) -> Documents:
    """The documents of the folders that a report is asked for.

    Raises:
        RunError: a document is broken, or two folders have one of the same kind.
    """
    panels = [panel for panel in map(read_panel, paths) if panel is not None]
    grids = [grid for grid in map(read_defence_grid, paths) if grid is not None]
    for kind, number in (("panel", len(panels)), ("grid of defences", len(grids))):
        if number > 1:
            raise RunError(
                f"{number} of the folders hold a {kind}, and a report shows one",
                Advice("report on each folder by itself"),
            )
    return Documents(next(iter(panels), None), next(iter(grids), None))


def folders_of(path: Path) -> list[Path]:
    """The run folders of a report on `path`: itself, those of its panel or grid, or those inside.

    Raises:
        RunError: as `runs_in`; a document is broken.
    """
    if is_run(path):
        return [path]
    panel, grid = read_panel(path), read_defence_grid(path)
    if panel is None and grid is None:
        return runs_in(path)
    named = [entry.run for entry in panel.entries if entry.run] if panel else []
    named += [folder.name for folder in measures_in(path, panel)]
    named += [run for row in grid.rows for one in row.attackers for run in one.runs] if grid else []
    inside = [path / name for name in dict.fromkeys(named) if _is_below(name)]
    return [folder for folder in inside if is_run(folder)] or runs_in(path)


def attacks_of(runs: Sequence[Run], documents: Documents) -> list[Run]:
    """The runs without those that the panel made as measures."""
    names = {one.run for one in documents.panel.measures} if documents.panel else set()
    return [run for run in runs if run.name not in names]


def measures_in(path: Path, panel: PanelDocument | None) -> list[Path]:
    """The finished runs that a panel in this folder made as measures, not as attacks."""
    named = [one.run for one in panel.measures if one.run and _is_below(one.run)] if panel else []
    return [path / name for name in named if (path / name / RESULT).is_file()]


def _is_below(name: str) -> bool:
    """Whether a recorded name stays inside the folder: a document may be a stranger's."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts
