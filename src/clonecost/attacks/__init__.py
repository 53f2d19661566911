"""The attacks that ship. Adding one = one file and one line here."""

from clonecost.attacks import (
    black_box_ripper,
    dfme,
    dfms,
    disguide,
    dual_students,
    ex_nihilo,
    frugal_ripper,
    ideal,
    knockoff,
    lowd_meek,
    maze,
    maze_pd,
    maze_star,
    tramer_adaptive_retrain,
    tramer_kernel_lr,
    tramer_lr,
    tramer_mlp,
    tramer_tree,
)
from clonecost.attacks.base import Attack, AttackerKit

__all__ = ["ATTACKS", "PROFILES", "Attack", "AttackerKit"]

ATTACKS: dict[str, type[Attack]] = {
    "black_box_ripper": black_box_ripper.BlackBoxRipper,
    "dfme": dfme.Dfme,
    "dfms": dfms.Dfms,
    "disguide": disguide.Disguide,
    "dual_students": dual_students.DualStudents,
    "ex_nihilo": ex_nihilo.ExNihilo,
    "frugal_ripper": frugal_ripper.FrugalRipper,
    "ideal": ideal.Ideal,
    "knockoff": knockoff.Knockoff,
    "lowd_meek": lowd_meek.LowdMeek,
    "maze": maze.Maze,
    "maze_pd": maze_pd.MazePd,
    "maze_star": maze_star.MazeStar,
    "tramer_adaptive_retrain": tramer_adaptive_retrain.TramerAdaptiveRetrain,
    "tramer_kernel_lr": tramer_kernel_lr.TramerKernelLr,
    "tramer_lr": tramer_lr.TramerLr,
    "tramer_mlp": tramer_mlp.TramerMlp,
    "tramer_tree": tramer_tree.TramerTree,
}

# Named settings of an attack, chosen as NAME:PROFILE.
PROFILES: dict[str, dict[str, Attack]] = {
    "black_box_ripper": dict(black_box_ripper.PROFILES),
    "dfme": dict(dfme.PROFILES),
    "dfms": {},
    "disguide": dict(disguide.PROFILES),
    "dual_students": {},
    "ex_nihilo": {},
    "frugal_ripper": {},
    "ideal": {},
    "knockoff": dict(knockoff.PROFILES),
    "lowd_meek": {},
    "maze": dict(maze.PROFILES),
    "maze_pd": {},
    "maze_star": dict(maze_star.PROFILES),
    "tramer_adaptive_retrain": {},
    "tramer_kernel_lr": {},
    "tramer_lr": dict(tramer_lr.PROFILES),
    "tramer_mlp": {},
    "tramer_tree": {},
}
