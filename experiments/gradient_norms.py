"""DFME's figure of the losses: how large is the gradient that a generator gets from l1, from KL?

    python -m experiments.gradient_norms [--budget N] [--seed K ...] [--out FOLDER]

DFME's own loop runs, once with each loss, against a victim whose network is at hand. Every
`EVERY` iterations the images that the student has just learned are taken, and

    mean over rows of  |d/dx L(V(x), S(x))|_2     for L = l1 on recovered logits, and L = KL

is computed exactly, through both networks (paper §3.3: KL's vanishes as S comes near V, l1's does
not). This is a diagnosis with a white box: it costs the attack nothing and tells it nothing.
Writes gradient_norms.json and gradient_norms.svg.
"""

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from clonecost.attacks.base import AttackerKit
from clonecost.attacks.dfme import Dfme
from clonecost.audit import provenance
from clonecost.networks import build, build_generator
from clonecost.oracle import Oracle
from clonecost.oracle.ledger import Ledger
from clonecost.training.losses import kl, logit_l1, recover_logits
from clonecost.types import Purpose, ThreatModel
from clonecost.victims import torch_victim
from clonecost.victims.zoo.images import zoo_model

SHAPE, CLASSES = (1, 32, 32), 10
EVERY = 4  # iterations
LOSSES = ("l1", "kl")


@dataclass
class Glance:
    """Keeps the last images that were bought to learn from."""

    images: Tensor | None = None

    def __call__(self, position: int, inputs: Tensor, answers: Tensor, purpose: Purpose) -> None:
        if purpose == "training":
            self.images = inputs[-256:]


def norms(victim: nn.Module, student: nn.Module, images: Tensor) -> dict[str, float]:
    """Mean over rows of the norm of each loss's gradient in the pixels; (n, C, H, W) images."""
    training = student.training
    student.eval()
    found = {}
    for loss in LOSSES:
        x = images.clone().requires_grad_()
        answers, logits = victim(x).softmax(1), student(x)
        far = kl(logits, answers) if loss == "kl" else logit_l1(logits, recover_logits(answers))
        (gradient,) = torch.autograd.grad(far.sum(), x)
        found[loss] = float(gradient.flatten(1).norm(dim=1).mean())
    student.train(training)
    return found


def course(loss: str, budget: int, seed: int) -> list[dict[str, float]]:
    """Of one run: queries, agreement on the glanced images, and both norms, every so often."""
    victim = zoo_model("digits-lenet").eval()
    attack = Dfme(loss=loss, generator_width=16, generator_lr=5e-4)  # type: ignore[arg-type]
    threat = ThreatModel(input_shape=SHAPE, num_classes=CLASSES, query_budget=budget)
    glance, points = Glance(), []
    with TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(seed)
        ledger = Ledger(
            Path(folder) / "ledger.sqlite", audit="", input_shape=SHAPE, num_classes=CLASSES
        )
        oracle = Oracle(torch_victim(victim), threat, ledger, observe=glance)
        kit = AttackerKit(
            student=lambda: build("half-lenet", SHAPE, CLASSES),
            generator=lambda latent, *, width: build_generator(latent, SHAPE, width=width),
            rng=torch.Generator().manual_seed(seed), device=torch.device("cpu"), horizon=budget,
        )  # fmt: skip
        for iteration, student in enumerate(attack.run(oracle, kit)):
            assert isinstance(student, nn.Module)  # DFME defers no clone
            if iteration % EVERY == 0 and glance.images is not None:
                with torch.no_grad():
                    same = victim(glance.images).argmax(1) == student(glance.images).argmax(1)
                points.append(
                    {"queries": oracle.spent, "agreement": float(same.float().mean())}
                    | norms(victim, student, glance.images)
                )
        ledger.close()
    return points


def draw(runs: dict[str, list[list[dict[str, float]]]], path: Path) -> None:
    """Both norms against queries, a panel for each loss that was trained with; one line a seed."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "clonecost"  # the same numbers give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(runs), figsize=(8, 3.4), sharey=True, layout="constrained")
    for axis, (trained, seeds) in zip(axes, runs.items(), strict=True):
        for loss, colour in zip(LOSSES, ("#0b6e99", "#c2571a"), strict=True):
            for number, points in enumerate(seeds):
                axis.plot(
                    [p["queries"] for p in points], [p[loss] for p in points], color=colour,
                    linewidth=1.2, label=f"gradient of {loss}" if number == 0 else None,
                )  # fmt: skip
        axis.set(title=f"DFME trained with {trained}", xlabel="thousands of queries", yscale="log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}")
        axis.yaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set_ylabel("mean norm of dL/dx")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=150_000)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--out", type=Path, default=Path("docs/attacks"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = given.seed or [0, 1, 2]
    runs = {loss: [course(loss, given.budget, seed) for seed in seeds] for loss in LOSSES}
    about = provenance.collect(
        command="python -m experiments.gradient_norms",
        seed=seeds[0],
        device="cpu",
        ledger_head="",
        ledger_rows=0,
        resumed=0,
    ).model_dump(include={"version", "revision", "created", "python", "torch", "platform"})
    given.out.mkdir(parents=True, exist_ok=True)
    found = {"budget": given.budget, "seeds": seeds, "runs": runs, "provenance": about}
    (given.out / "gradient_norms.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(runs, given.out / "gradient_norms.svg")
    for trained, several in runs.items():
        for where, index in (("first", 0), ("last", -1)):
            means = {
                key: statistics.fmean(points[index][key] for points in several)
                for key in ("agreement", *LOSSES)
            }
            print(f"trained with {trained}, {where}: {means}")


if __name__ == "__main__":
    main()
