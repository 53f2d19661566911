"""DFMS: a GAN's images, asked about one by one; the clone's gradients stand in for the victim's.

Sanyal, Addepalli, Babu, CVPR 2022, https://arxiv.org/abs/2204.11022. With labels it is DFMS-HL,
with probabilities DFMS-SL; G and D see the attacker's pictures, or drawn ones (`--proxy shapes`).

    1. DCGAN on the proxy                                               no query
    2. C from scratch on proxy and generated images                     1 query a row
    3. G on, D new, and L_G = E softplus(-D(x)) + 10 L_div(C)           no query
    4. C from scratch on the proxy rows and on G's new images           1 query a generated row
    5. until the budget is spent, x = G(z) and x' = x augmented:
         C step   min E CE(V(x'), C(x'))                                B queries
         G step   min E softplus(-D(x)) + 500 L_div(C),   L_div = sum_k p_k log p_k, p = mean C(x)
         D step   min E softplus(-D(proxy)) + E softplus(D(x))
       the clone is C or one of its weight averages, by agreement on rows bought before this

Differs from the paper: see docs/attacks/dfms.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from clonecost.attacks.base import AttackerKit, Clone, Declaration, DeferredClone, at_least
from clonecost.errors import SpecError
from clonecost.networks.dcgan import DcganDiscriminator, DcganGenerator
from clonecost.oracle import Oracle
from clonecost.query_synthesis.class_balanced_gan import DivGan
from clonecost.training.distill import Recipe, distill
from clonecost.training.losses import kl
from clonecost.training.rand_augment import rand_augment
from clonecost.training.weight_averaging import WeightAverages, per_class_agreement
from clonecost.types import Purpose, as_bytes, as_pixels

Rows = tuple[Tensor, Tensor]  # images as uint8, answers
ASKED_AT_ONCE = 2048  # rows, wherever nothing is learnt in between


@dataclass(frozen=True, kw_only=True)
class Dfms:
    batch_size: int = 64  # B, images of a batch
    diversity: float = 500.0  # d_l of step 5; the paper has 100 for CIFAR-100
    clone_lr: float = 0.01  # highest learning rate of step 5
    warm_up: float = 0.0125  # share of step 5 in which the rate rises: 10 of 800 epochs
    augment: bool = True  # x' in step 5; crops and mirror images in steps 2 and 4
    # decays of the averages of C's weights, beside C itself
    averages: tuple[float, ...] = (0.5, 0.9, 0.99, 0.999, 0.9995, 0.9998)
    choose_every: int = 50_000  # rows of step 5 between two choices among the averages
    gan_lr: float = 2e-4  # learning rate of the GANs
    gan_width: int = 64  # channels of the GANs' narrowest layer
    gan_epochs: int = 200  # epochs of step 1 over the proxy data
    div_gan_epochs: int = 100  # epochs of step 3
    div_gan_diversity: float = 10.0  # weight of the diversity loss in step 3
    proxy_rows: int = 5_000  # proxy rows asked in steps 2 and 4, as published for 10 classes
    generated_rows: int = 40_000  # generated rows asked in step 2, and as many in step 4
    validation_rows: int = 20_000  # generated rows asked for validation after step 3
    before: float = 0.25  # share of the budget for all steps before 5; their rows shrink to it
    pretraining_epochs: int = 40  # epochs of C in steps 2 and 4
    pretraining_lr: float = 0.1  # learning rate of C in steps 2 and 4

    declares: ClassVar = Declaration(needs="label", proxy="changed")

    def __post_init__(self) -> None:
        at_least(2, self, "batch_size")  # batch norm
        at_least(1, self, "gan_width", "pretraining_epochs", "choose_every", "proxy_rows",
                 "generated_rows", "validation_rows")  # fmt: skip
        at_least(0, self, "diversity", "clone_lr", "warm_up", "gan_lr", "gan_epochs", "before",
                 "div_gan_epochs", "div_gan_diversity", "pretraining_lr")  # fmt: skip
        if not all(0 <= decay < 1 for decay in self.averages):
            raise SpecError(f"dfms.averages is {self.averages}: decays are in [0, 1)")

    def plan(self, budget: int) -> str:
        own, generated, validation = self.rows_by_purpose(budget)
        first = own + 2 * generated + validation
        batches = max(0, budget - first) // self.batch_size
        return (
            f"asks about {first:,} rows beforehand, {validation:,} of them to choose an average "
            f"by, then {batches:,} batches of {self.batch_size} generated images"
        )

    def run(self, oracle: Oracle, kit: AttackerKit) -> Iterator[Clone]:
        if kit.proxy is None:
            raise SpecError("dfms begins with proxy data: name some with --proxy, as `shapes`")
        proxy, shape = kit.proxy.to(kit.device), oracle.threat.input_shape
        generator = kit.compiled(kit.initialised(lambda: DcganGenerator(shape, self.gan_width)))
        own_rows, generated_rows, validation_rows = self.rows_by_purpose(kit.horizon)

        def new_gan() -> DivGan:
            """G goes on, D begins anew."""
            d, lr = kit.initialised(lambda: DcganDiscriminator(shape, self.gan_width)), self.gan_lr
            return DivGan(generator, d, proxy, batch_size=self.batch_size, lr=lr, rng=kit.rng)

        def ask(images: Tensor, purpose: Purpose = "training") -> Rows:
            parts = images.split(ASKED_AT_ONCE)
            return images, torch.cat([oracle(as_pixels(x), purpose=purpose) for x in parts])

        gan = new_gan()  # 1
        self._play(gan, self.gan_epochs, kit, "training the DCGAN")

        rows = torch.randperm(len(proxy), generator=kit.rng, device=kit.device)[:own_rows]
        own = ask(as_bytes(as_pixels(proxy.inputs[rows])))
        clone = self._pretrained(own, ask(gan.sample(generated_rows)), kit)  # 2

        gan = new_gan()  # 3
        self._play(gan, self.div_gan_epochs, kit, "training Div-GAN", clone.eval())

        clone = self._pretrained(own, ask(gan.sample(generated_rows)), kit)  # 4
        held_out = ask(gan.sample(validation_rows), "validation")
        averages = WeightAverages(clone.eval(), self.averages)
        best, shown = [torch.zeros((), device=kit.device) - 1], averages.networks()[0]

        def chosen() -> tuple[Tensor, nn.Module]:
            """Another average only when C itself is better than before, as published."""
            agreement = per_class_agreement(clone, *held_out)
            if agreement > best[0]:
                return agreement, averages.best(*held_out)
            return best[0], shown

        current = DeferredClone(lambda *_: chosen()[1], exact=False)
        yield current

        gan = new_gan()  # 5
        optimizer = torch.optim.SGD(
            clone.parameters(), lr=self.clone_lr, momentum=0.9, weight_decay=5e-4, fused=True
        )
        steps = max(1, (kit.horizon - oracle.spent) // self.batch_size)
        schedule = LambdaLR(optimizer, lambda past: self.rate(past, steps))
        for step in kit.loop(
            lambda _: oracle.remaining >= self.batch_size, gan=gan, best=best,
            parts=[clone, optimizer, schedule, averages, shown],
        ):  # fmt: skip
            x = gan.images()  # one forward pass of G serves all three
            varied = rand_augment(x.detach(), kit.rng) if self.augment else x.detach()
            varied = as_pixels(as_bytes(varied))  # what is learnt from is what is sent
            loss = kl(clone.train()(varied), oracle(varied)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            averages.update()
            gan.learn(x, clone.eval(), self.diversity)
            if (step + 1) * self.batch_size % self.choose_every < self.batch_size:
                best[0], now = chosen()
                shown.load_state_dict(now.state_dict())
            yield current

    def _play(
        self, gan: DivGan, epochs: int, kit: AttackerKit, what: str, clone: nn.Module | None = None
    ) -> None:
        """G and D by themselves; with a clone, G also pleases its classes. No query."""
        for epoch in kit.loop(lambda done: done < epochs, gan=gan):
            for _ in range(gan.epoch):
                gan.learn(gan.images(), clone, self.div_gan_diversity)
            kit.progress(what, epoch + 1, epochs)

    def _pretrained(self, own: Rows, generated: Rows, kit: AttackerKit) -> nn.Module:
        """A clone from scratch, on (images, answers) of either kind."""
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
        """(proxy, generated, validation) rows bought before step 5; the generated come twice."""
        wanted = self.proxy_rows, self.generated_rows, self.validation_rows
        part = min(1, self.before * budget / (sum(wanted) + self.generated_rows))
        own, generated, validation = (max(2, int(part * rows)) for rows in wanted)
        return own, generated, validation

    def rate(self, past: int, steps: int) -> float:
        """Factor of C's rate after so many steps of 5; beyond the last one it rises again."""
        warm = self.warm_up * steps
        fall = (1 + cos(pi * (past - warm) / max(1, steps - warm))) / 2
        return (past + 1) / (warm + 1) if past < warm else fall
