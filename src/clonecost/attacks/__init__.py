"""The attacks that ship. Adding one = one file and one line here."""

from clonecost.attacks import (
    active_thief,
    black_box_ripper,
    copycat,
    degan,
    dfme,
    dfms,
    disguide,
    dual_students,
    ex_nihilo,
    frugal_ripper,
    ideal,
    jbda,
    knockoff,
    knockoff_adaptive,
    marich,
    maze,
    maze_pd,
    maze_star,
    zskd,
)
from clonecost.attacks.base import Attack, AttackerKit

__all__ = ["ATTACKS", "PROFILES", "Attack", "AttackerKit"]

ATTACKS: dict[str, type[Attack]] = {
    "active_thief": active_thief.ActiveThief,
    "black_box_ripper": black_box_ripper.BlackBoxRipper,
    "copycat": copycat.Copycat,
    "degan": degan.Degan,
    "dfme": dfme.Dfme,
    "dfms": dfms.Dfms,
    "disguide": disguide.Disguide,
    "dual_students": dual_students.DualStudents,
    "ex_nihilo": ex_nihilo.ExNihilo,
    "frugal_ripper": frugal_ripper.FrugalRipper,
    "ideal": ideal.Ideal,
    "jbda": jbda.Jbda,
    "knockoff": knockoff.Knockoff,
    "knockoff_adaptive": knockoff_adaptive.KnockoffAdaptive,
    "marich": marich.Marich,
    "maze": maze.Maze,
    "maze_pd": maze_pd.MazePd,
    "maze_star": maze_star.MazeStar,
    "zskd": zskd.Zskd,
}

# Named settings of an attack, chosen as NAME:PROFILE.
PROFILES: dict[str, dict[str, Attack]] = {
    "active_thief": dict(active_thief.PROFILES),
    "black_box_ripper": dict(black_box_ripper.PROFILES),
    "copycat": dict(copycat.PROFILES),
    "degan": {},
    "dfme": dict(dfme.PROFILES),
    "dfms": {},
    "disguide": dict(disguide.PROFILES),
    "dual_students": {},
    "ex_nihilo": {},
    "frugal_ripper": {},
    "ideal": {},
    "jbda": {},
    "knockoff": dict(knockoff.PROFILES),
    "knockoff_adaptive": dict(knockoff_adaptive.PROFILES),
    "marich": dict(marich.PROFILES),
    "maze": dict(maze.PROFILES),
    "maze_pd": {},
    "maze_star": dict(maze_star.PROFILES),
    "zskd": {},
}
