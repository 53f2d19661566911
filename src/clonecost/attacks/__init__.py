"""The attacks that ship. Adding one = one file and one line here."""

from clonecost.attacks import (
    black_box_ripper,
    degan,
    dfme,
    dfms,
    disguide,
    dual_students,
    ex_nihilo,
    frugal_ripper,
    ideal,
    knockoff,
    maze,
    maze_pd,
    maze_star,
    zskd,
)
from clonecost.attacks.base import Attack, AttackerKit

__all__ = ["ATTACKS", "PROFILES", "Attack", "AttackerKit"]

ATTACKS: dict[str, type[Attack]] = {
    "black_box_ripper": black_box_ripper.BlackBoxRipper,
    "degan": degan.Degan,
    "dfme": dfme.Dfme,
    "dfms": dfms.Dfms,
    "disguide": disguide.Disguide,
    "dual_students": dual_students.DualStudents,
    "ex_nihilo": ex_nihilo.ExNihilo,
    "frugal_ripper": frugal_ripper.FrugalRipper,
    "ideal": ideal.Ideal,
    "knockoff": knockoff.Knockoff,
    "maze": maze.Maze,
    "maze_pd": maze_pd.MazePd,
    "maze_star": maze_star.MazeStar,
    "zskd": zskd.Zskd,
}

# Named settings of an attack, chosen as NAME:PROFILE.
PROFILES: dict[str, dict[str, Attack]] = {
    "black_box_ripper": dict(black_box_ripper.PROFILES),
    "degan": {},
    "dfme": dict(dfme.PROFILES),
    "dfms": {},
    "disguide": dict(disguide.PROFILES),
    "dual_students": {},
    "ex_nihilo": {},
    "frugal_ripper": {},
    "ideal": {},
    "knockoff": dict(knockoff.PROFILES),
    "maze": dict(maze.PROFILES),
    "maze_pd": {},
    "maze_star": dict(maze_star.PROFILES),
    "zskd": {},
}
