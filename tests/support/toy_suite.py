"""A suite of two victims and four rows, small enough to run in a test."""

from pathlib import Path

TOY = """
title = "A toy"
note = "Tiny & quick <b>"
source = "Somebody (2020), table 1"
seeds = [0, 1, 2]
test = "test.npz"
proxy = "proxy.npz"

[[column]]
name = "mine"
title = "Mine → LeNet"
victim = "own:probs"
student = "lenet"

[[column]]
name = "broken"
title = "Broken → LeNet"
victim = "own:falls"
student = "lenet"

[[row]]
name = "teacher"
title = "Teacher"
teacher = true
paper = { mine = 88.8 }

[[row]]
name = "knockoff"
title = "Knockoff | Nets"
attack = "knockoff:shared"
settings = { epochs = 2 }
paper = { mine = 77.7, broken = [66.6, 1.5] }

[[row]]
name = "later"
title = "Later"
white_box = true
not_run = "the attack comes later"
paper = { mine = 55.5 }
source = "Somebody else (2021)"

[[row]]
name = "ours"
title = "Ours"
ours = true
attack = "knockoff:shared"
settings = { epochs = 1 }

[scale.small]
title = "small"
budget = 60
milestones = [20]

[scale.small.row.ours]
budget = 40
settings = { batch_size = 10 }

[scale.small.column.broken]
not_run = "no time"

[scale.large]
title = "large"
budget = 100

[scale.large.cell.broken.knockoff]
not_run = "not here"
"""


def edited(toy: Path, old: str, new: str) -> Path:
    assert old in TOY
    toy.write_text(TOY.replace(old, new, 1), encoding="utf-8")
    return toy
