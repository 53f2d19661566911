"""The jobs of `paper_scale`, in order of worth, and what each needs of the packed data.

A job is one audit or one step of the seed's three tables. `a` compares five attacks at one budget,
`b` runs DFME as far as time allows, `c` to `e` are columns of the tables of Black-Box Ripper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clonecost.config import Spec
from clonecost.data.locations import search_folders
from clonecost.networks import build
from clonecost.types import Shape

GROUPS = "abcde"
BUDGETS = (2_000_000, 1_000_000, 500_000, 250_000)  # of group a, the largest that fits
SHARE = 0.9  # of the time that group a may take, when its budget is chosen
LONG = 20_000_000  # queries of DFME's table


@dataclass(frozen=True, kw_only=True)
class Job:
    """One audit.

    Attributes:
        name: of its folder and of its file of results.
        budget: None: that of the group, which is chosen for the time.
        settings: of the attack, where they differ from its profile's.
        papers: the accuracy that the method's paper prints for this cell, with its queries.
    """

    group: str
    name: str
    attack: str
    victim: str
    student: str
    budget: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    proxy: str | None = None
    white_box: bool = False
    papers: str = ""

    def spec(self, budget: int, device: str, scored: Sequence[int], tiny: bool) -> Spec:
        """The audit as `clonecost resume` reads it.

        Args:
            scored: numbers of queries after which the clone is scored, beside the end.
        """
        settings, victim = dict(self.settings), self.victim
        own: dict[str, Any] = {}
        if tiny:
            settings |= TINY.get(self.attack.partition(":")[0], {})
            victim, own = f"{Path(__file__)}:tiny_victim", {"test": "digits", "shape": [1, 32, 32]}
        return Spec(
            victim=victim, attack=[self.attack], budget=budget, device=device,
            student="half-lenet" if tiny else self.student, milestones=list(scored),
            set={self.attack.partition(":")[0]: settings} if settings else {},
            proxy=self.proxy and packed(self.proxy),
            access="white-box" if self.white_box and not tiny else "black-box",
            keep="none", snapshot_every=0.0 if tiny else EVERY, spot_check=0, max_hours=24, **own,
        )  # fmt: skip


def packed(proxy: str) -> str:
    """The proxy's file in the folder that `pack_gpu` filled, else the data set that it is made of.

    Both have the same rows.
    """
    files = [folder / f"{proxy}.npz" for folder in search_folders(None)]
    return next((str(file) for file in files if file.is_file()), PROXIES[proxy][0])


# proxies by the names of their packed files: data set and shape
PROXIES: dict[str, tuple[str, Shape]] = {
    "cifar10-grey": ("cifar10", (1, 32, 32)),
    "cifar100-10": ("cifar100:10", (3, 32, 32)),
    "cifar100-6": ("cifar100:6", (3, 32, 32)),
}
EVERY = 30.0  # seconds between checkpoints: so much is computed again by the next run
_RESNET: dict[str, Any] = {"victim": "cifar10-resnet18", "student": "resnet18-8x"}
_FMNIST: dict[str, Any] = {"victim": "fmnist-lenet", "student": "half-lenet"}
_VGG: dict[str, Any] = {"victim": "fmnist-vgg16", "student": "vgg16"}
_ALEXNET: dict[str, Any] = {"victim": "cifar10-alexnet", "student": "half-alexnet"}
_OTHER = "another victim of the same architecture, ResNet-34-8x"


def _ripper(group: str, name: str, generator: str, budget: int, **more: Any) -> Job:
    return Job(
        group=group, name=name, attack="black_box_ripper", budget=budget,
        settings={"generator": generator, "low_precision": True}, **more,
    )  # fmt: skip


JOBS: tuple[Job, ...] = (
    Job(group="a", name="dfme", attack="dfme", **_RESNET,
        papers=f"88.1 % at 20 M queries, {_OTHER}"),
    Job(group="a", name="ex_nihilo", attack="ex_nihilo", **_RESNET,
        settings={"epochs": 2, "scout_passes": 1.5, "candidates": 2}),
    Job(group="a", name="disguide", attack="disguide", **_RESNET),
    Job(group="a", name="dfme-kl", attack="dfme", settings={"loss": "kl"}, **_RESNET,
        papers=f"76.7 % at 20 M queries, {_OTHER}"),
    Job(group="a", name="maze_star", attack="maze_star", **_RESNET,
        papers=f"45.6 % at 20 M queries, {_OTHER}"),
    Job(group="b", name="dfme-20m", attack="dfme", budget=LONG, **_RESNET,
        papers=f"88.1 % at 20 M queries, {_OTHER}"),
    _ripper("c", "ripper-1m", "sngan", 1_000_000, **_FMNIST, proxy="cifar10-grey",
            papers="82.2 %; queries not printed"),
    Job(group="c", name="zskd", attack="zskd", budget=0, white_box=True, **_FMNIST,
        papers="79.6 %, a white box"),
    Job(group="c", name="degan", attack="degan", budget=0, white_box=True, **_FMNIST,
        proxy="cifar10-grey", papers="83.7 %, a white box"),
    _ripper("c", "ripper-dcgan-1m", "dcgan", 1_000_000, **_FMNIST, proxy="cifar10-grey"),
    _ripper("c", "ripper-10m", "sngan", 10_000_000, **_FMNIST, proxy="cifar10-grey",
            papers="82.2 %; queries not printed"),
    _ripper("d", "vgg-ripper-1m", "sngan", 1_000_000, **_VGG, proxy="cifar10-grey",
            papers="90.0 %; queries not printed"),
    _ripper("e", "alexnet-10-ripper", "progan", 1_000_000, **_ALEXNET, proxy="cifar100-10",
            papers="77.9 %; queries not printed"),
    _ripper("e", "alexnet-6-ripper", "progan", 1_000_000, **_ALEXNET, proxy="cifar100-6",
            papers="69.9 %; queries not printed"),
)  # fmt: skip

# A dry run on a CPU: a few rows through the same code.
TINY: dict[str, dict[str, Any]] = {
    "dfme": {"batch_size": 8, "generator_width": 4, "latent_dim": 8},
    "ex_nihilo": {"epochs": 1, "round_size": 50},
}
TINY_BUDGET = 112
TINY_JOBS = ("dfme", "ex_nihilo")  # of those that need no generator


@cache
def _untrained() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build("lenet", (1, 32, 32), 10).eval()


@torch.no_grad()
def tiny_victim(inputs: Tensor) -> Tensor:
    """The victim of a dry run, (n, 1, 32, 32) pixels -> (n, 10) probabilities: untrained."""
    return _untrained().to(inputs.device)(inputs).softmax(1)


def chosen(groups: str, tiny: bool) -> list[Job]:
    """The jobs of these groups, in order of worth."""
    found = [job for job in JOBS if job.group in groups]
    return [job for job in found if job.name in TINY_JOBS] if tiny else found
