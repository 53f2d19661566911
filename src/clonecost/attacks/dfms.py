"""DFMS: queries images of a GAN that is trained on proxy data and on the clone's gradients.

Sanyal, Addepalli, Babu, CVPR 2022, https://arxiv.org/abs/2204.11022. DFMS-HL with labels, DFMS-SL
with probabilities. The proxy data are images of the attacker's own or drawings (`shapes`).

    1. DCGAN on the proxy                                               no query
    2. C from scratch on proxy and generated images                     1 query a row
    3. G goes on, D is new, L_G = E softplus(-D(x)) + 10 L_div(C)           no query
    4. C from scratch on the proxy rows and on G's new images           1 query a generated row
    5. until the budget is spent, x = G(z) and x' = x augmented:
         C step   min E CE(V(x'), C(x'))                                B queries
         G step   min E softplus(-D(x)) + 500 L_div(C),   L_div = sum_k p_k log p_k, p = mean C(x)
         D step   min E softplus(-D(proxy)) + E softplus(D(x))
       the clone is C or one of its weight averages, by agreement on the validation rows

Differs from the paper: see docs/attacks/dfms.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import cos, pi
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from clonecost.attacks.base import (
    AttackerKit,
    Clone,
    Declaration,
    DeferredClone,
    at_least,
    out_of_range,
)
from clonecost.networks.dcgan import DcganDiscriminator, DcganGenerator
from clonecost.oracle import Oracle
from clonecost.query_synthesis.class_balanced_gan import DivGan
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import kl
from clonecost.training.rand_augment import rand_augment
from clonecost.training.student_optimizer import student_optimizer
from clonecost.training.weight_averaging import WeightAverages, per_class_agreement
from clonecost.types import Purpose, as_bytes, as_pixels

Rows = tuple[Tensor, Tensor]  # images as uint8, answers
ROWS_PER_CALL = 2048  # rows per call of the victim, before step 5


@dataclass(frozen=True, kw_only=True)
class Dfms:
    """Trains a GAN with the clone in the victim's place, and the clone on the victim's answers.

    Example:
        >>> Dfms(gan_width=16, gan_epochs=10, div_gan_epochs=10)
    """

    batch_size: int = 64  # B, images of a batch
    diversity: float = 500.0  # d_l of step 5; the paper has 100 for CIFAR-100
    clone_lr: float = 0.01  # highest learning rate of C in step 5
    warm_up: float = 0.0125  # share of step 5 in which the rate rises: 10 of 800 epochs
    augment: bool = True  # x' in step 5; crops and mirror images in steps 2 and 4
    # decays of the averages of C's weights, which are compared with C itself
    averages: tuple[float, ...] = (0.5, 0.9, 0.99, 0.999, 0.9995, 0.9998)
    choose_every: int = 50_000  # rows of step 5 between two selections of an average
    gan_lr: float = 2e-4  # learning rate of the GANs
    gan_width: int = 64  # channels of the GANs' narrowest layer
    gan_epochs: int = 200  # epochs of step 1 over the proxy data
    div_gan_epochs: int = 100  # epochs of step 3
    div_gan_diversity: float = 10.0  # weight of the diversity loss in step 3
    proxy_rows: int = 5_000  # proxy rows queried for steps 2 and 4; published for 10 proxy classes
    generated_rows: int = 40_000  # generated rows queried in step 2, and again in step 4
    validation_rows: int = 20_000  # generated rows queried after step 4, to select an average
    before: float = 0.25  # largest share of the budget before step 5; above it all rows shrink
    pretraining_epochs: int = 40  # epochs of C in steps 2 and 4
    pretraining_lr: float = 0.1  # learning rate of C in steps 2 and 4

    declares: ClassVar = Declaration(needs="label", proxy="changed", by_settings=("least_budget",))

    def __post_init__(self) -> None:
        at_least(2, self, "batch_size")  # batch norm
        at_least(1, self, "gan_width", "pretraining_epochs", "choose_every", "proxy_rows",
                 "generated_rows", "validation_rows")  # fmt: skip
        at_least(0, self, "diversity", "clone_lr", "warm_up", "gan_lr", "gan_epochs", "before",
                 "div_gan_epochs", "div_gan_diversity", "pretraining_lr")  # fmt: skip
        if not all(0 <= decay < 1 for decay in self.averages):
            raise out_of_range(self, "averages", "decays from 0 to below 1")

    @property
    def least_budget(self) -> int:
        return next(n for n in count(1) if self._before(n) <= n)

    def plan(self, budget: int) -> str:
        first, validation = self._before(budget), self.rows_by_purpose(budget)[2]
        batches = max(0, budget - first) // self.batch_size
        return (
            f"queries {first:,} rows beforehand, {validation:,} of them to select an average, "
            f"then {batches:,} batches of {self.batch_size} generated images"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        proxy, shape = kit.required_proxy(self, "shapes").to(kit.device), oracle.threat.input_shape
        generator = kit.compiled(kit.initialised(lambda: DcganGenerator(shape, self.gan_width)))
        own_rows, generated_rows, validation_rows = self.rows_by_purpose(kit.horizon)

        def new_gan() -> DivGan:
            """The GAN of the same G and a new D."""
            d, lr = kit.initialised(lambda: DcganDiscriminator(shape, self.gan_width)), self.gan_lr
            return DivGan(generator, d, proxy, batch_size=self.batch_size, lr=lr, rng=kit.rng)

        def label(images: Tensor, purpose: Purpose = "training") -> Rows:
            parts = images.split(ROWS_PER_CALL)
            return images, torch.cat([oracle(as_pixels(x), purpose=purpose) for x in parts])

        gan = new_gan()  # 1
        self._train_gan(gan, self.gan_epochs, kit, "training the DCGAN")

        rows = torch.randperm(len(proxy), generator=kit.rng, device=kit.device)[:own_rows]
        own = label(as_bytes(as_pixels(proxy.inputs[rows])))
        clone = self._pretrained(own, label(gan.sample(generated_rows)), kit)  # 2

        gan = new_gan()  # 3
        self._train_gan(gan, self.div_gan_epochs, kit, "training Div-GAN", clone.eval())

        clone = self._pretrained(own, label(gan.sample(generated_rows)), kit)  # 4
        held_out = label(gan.sample(validation_rows), "validation")
        averages = WeightAverages(clone.eval(), self.averages)
        best, selected = [torch.zeros((), device=kit.device) - 1], averages.networks()[0]

        def select() -> tuple[Tensor, nn.Module]:
            """Select another average only if C itself has improved, as published."""
            agreement = per_class_agreement(clone, *held_out)
            if agreement > best[0]:
                return agreement, averages.best(*held_out)
            return best[0], selected

        current = DeferredClone(lambda *_: select()[1], exact=False)
        yield current

        gan = new_gan()  # 5
        optimizer = student_optimizer(clone, "sgd", self.clone_lr)
        steps = max(1, (kit.horizon - oracle.spent) // self.batch_size)
        schedule = LambdaLR(optimizer, lambda past: self.rate(past, steps))
        for step in kit.loop(
            lambda _: oracle.remaining >= self.batch_size, gan=gan, best=best,
            parts=[clone, optimizer, schedule, averages, selected],
        ):  # fmt: skip
            x = gan.images()  # one forward pass of G serves all three
            varied = rand_augment(x.detach(), kit.rng) if self.augment else x.detach()
            varied = as_pixels(as_bytes(varied))  # sent and trained on in 8 bits
            loss = kl(clone.train()(varied), oracle(varied)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averages.update()
            gan.learn(x, clone.eval(), self.diversity)
            if (step + 1) * self.batch_size % self.choose_every < self.batch_size:
                best[0], average = select()
                selected.load_state_dict(average.state_dict())
            yield current

    def _train_gan(
        self, gan: DivGan, epochs: int, kit: AttackerKit, what: str, clone: nn.Module | None = None
    ) -> None:
        """Train G and D without a query; a clone adds its diversity loss to G's."""
        for epoch in kit.loop(lambda done: done < epochs, gan=gan):
            for _ in range(gan.epoch):
                gan.learn(gan.images(), clone, self.div_gan_diversity)
            kit.progress(what, epoch + 1, epochs)

    def _pretrained(self, own: Rows, generated: Rows, kit: AttackerKit) -> nn.Module:
        """A clone trained from scratch on both kinds of rows, (images, answers) each."""
        clone = kit.new_student()
        recipe = Recipe(
            optimizer="sgd", lr=self.pretraining_lr, weight_decay=5e-4, batch_size=230,
            epochs=self.pretraining_epochs, validation=0,
            augment="crop+flip" if self.augment else "none",
        )  # fmt: skip
        images, answers = (torch.cat(parts) for parts in zip(own, generated, strict=True))
        distill(clone, images, answers, recipe, rng=kit.rng, progress=kit.progress, loop=kit.loop)
        return clone

    def rows_by_purpose(self, budget: int) -> tuple[int, int, int]:
        """(proxy, generated, validation) rows before step 5; generated rows are bought twice."""
        full = self.proxy_rows, self.generated_rows, self.validation_rows
        part = min(1, self.before * budget / (sum(full) + self.generated_rows))
        own, generated, validation = (max(2, int(part * rows)) for rows in full)
        return own, generated, validation

    def _before(self, budget: int) -> int:
        return sum(rows := self.rows_by_purpose(budget)) + rows[1]

    def rate(self, past: int, steps: int) -> float:
        """The factor of C's rate after `past` of `steps` steps; after `steps` it rises again."""
        warm = self.warm_up * steps
        fall = (1 + cos(pi * (past - warm) / max(1, steps - warm))) / 2
        return (past + 1) / (warm + 1) if past < warm else fall
