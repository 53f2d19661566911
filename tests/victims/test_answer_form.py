"""What a model returns: the decision is right, or a refusal names what fits."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from clonecost.errors import SetKey, VictimError
from clonecost.victims import load_victim
from clonecost.victims.answer_form import Outputs, decide
from clonecost.victims.asking import Scores, asked
from clonecost.victims.torch_model import callable_scores

SHAPE = (1, 4, 4)
ROWS = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(5))


@dataclass(frozen=True)
class End:
    """The last step of a model: logits -> what it returns."""

    outputs: Outputs
    apply: Callable[[Tensor], Tensor]


def softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


ENDS = {
    "logits": End("logits", lambda z: z),
    "float16 logits": End("logits", Tensor.half),
    "probabilities": End("probs", softmax),
    "float16 probabilities": End("probs", lambda z: softmax(z).half()),
    "percentages": End("percent", lambda z: softmax(z) * 100),
    "rounded percentages": End("percent", lambda z: (softmax(z) * 1000).round() / 10),
    "log-probabilities": End("log_probs", lambda z: z.log_softmax(1)),
    "one-hot": End("probs", lambda z: torch.nn.functional.one_hot(z.argmax(1), z.shape[1])),
    "class numbers": End("label", lambda z: z.argmax(1)),
    "class numbers as floats": End("label", lambda z: z.argmax(1).float()),
}
ONE = {
    "logit": End("logit", lambda z: z[:, 1:] - z[:, :1]),
    "sigmoid": End("sigmoid", lambda z: softmax(z)[:, 1:]),
    "flat sigmoid": End("sigmoid", lambda z: softmax(z)[:, 1]),
    "sigmoid in float16": End("sigmoid", lambda z: softmax(z)[:, 1].half()),
}


def model(seed: int, classes: int, scale: float, end: End) -> Scores:
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(16, classes, generator=rng) * scale
    bias = torch.randn(classes, generator=rng)
    return callable_scores(lambda inputs: end.apply((inputs - 0.5).flatten(1) @ weight + bias))


def truth(seed: int, classes: int, scale: float) -> Tensor:
    return model(seed, classes, scale, ENDS["probabilities"])(ROWS)


def error_of(end: str, classes: int) -> float:
    """The largest error of a probability that the form allows."""
    return {"rounded percentages": 6e-4, "logits": 1e-6}.get(end, 4e-3 if "16" in end else 1e-5)


linear = given(
    seed=st.integers(0, 10**6), classes=st.integers(2, 12), scale=st.sampled_from([0.3, 1.0, 4.0]),
    local=st.booleans(),
)  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
@linear
@settings(max_examples=25)
def test_every_form_of_a_linear_model_is_read_rightly(
    name: str, seed: int, classes: int, scale: float, local: bool
) -> None:
    end, want = ENDS[name], truth(seed, classes, scale)
    victim = asked(
        model(seed, classes, scale, end), where="m", num_classes=classes, local=local,
        input_shape=SHAPE,
    )  # fmt: skip
    probs = victim.answer(ROWS)
    if end.outputs == "label" or name == "one-hot":
        # constant labels 0 and 1 of two classes may be probabilities: the answers are the same
        assert torch.equal(probs.argmax(1), want.argmax(1))
        return
    form = victim.form()
    assert form is not None
    assert form.outputs == end.outputs, form.words
    torch.testing.assert_close(
        probs.float(), want, atol=error_of(name, classes) * max(1, scale), rtol=0
    )


@pytest.mark.parametrize("name", ONE)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 4.0]))
@settings(max_examples=25)
def test_one_column_is_a_classifier_of_two_classes(name: str, seed: int, scale: float) -> None:
    """Rows far out of range tell a small logit from a sigmoid."""
    odds = truth(seed, 2, scale).double().log().diff(dim=1)
    assume(float(odds.min()) < 0.5)  # else the owner is asked: it may be a rating
    victim = asked(model(seed, 2, scale, ONE[name]), where="m", input_shape=SHAPE)
    form = victim.form()
    assert form is not None
    assert (form.outputs, form.num_classes) == (ONE[name].outputs, 2), form.words
    torch.testing.assert_close(
        victim.answer(ROWS).float(), truth(seed, 2, scale), atol=2e-3, rtol=0
    )


@linear
@settings(max_examples=40)
def test_sigmoids_are_refused_by_name_and_small_logits_are_not(
    seed: int, classes: int, scale: float, local: bool
) -> None:
    end = End("logits", Tensor.sigmoid)
    with pytest.raises(VictimError, match="multi-label model") as refused:
        asked(model(seed, classes, scale, end), where="m", input_shape=SHAPE, local=local).answer(
            ROWS
        )
    assert ("two readings fit" in str(refused.value)) != local
    # logits between 0 and 1 for all inputs in range
    small = End("logits", lambda z: 0.6 + z / 400)
    logits = model(seed, classes, scale, small)
    if not local:
        with pytest.raises(VictimError, match=r"two readings fit.*multi-label.*logits"):
            asked(logits, where="m", local=False).answer(ROWS)
        logits_as_stated = asked(logits, where="m", local=False, outputs="logits")
        torch.testing.assert_close(logits_as_stated.answer(ROWS), logits(ROWS).softmax(1))
        return
    victim = asked(logits, where="m", input_shape=SHAPE)
    torch.testing.assert_close(victim.answer(ROWS), logits(ROWS).softmax(1))


def test_logits_that_sum_to_one_in_range_only_are_asked_about() -> None:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 3, generator=rng) / 1000
    scores = callable_scores(lambda x: x.flatten(1) @ weight + torch.tensor([0.2, 0.3, 0.5]))
    with pytest.raises(VictimError, match="two readings fit: probabilities, or logits"):
        asked(scores, where="m", input_shape=SHAPE)
    stated = asked(scores, where="m", input_shape=SHAPE, outputs="logits")
    torch.testing.assert_close(stated.answer(ROWS), scores(ROWS).softmax(1))


@pytest.mark.parametrize(
    ("apply", "sentence", "remedy"),
    [
        (lambda z: (softmax(z) * 255).round().to(torch.uint8), "probabilities in 256", "bytes"),
        (lambda z: (softmax(z) * 256).round().clamp(0, 255), "two readings fit", "bytes"),
        (lambda z: (10 * z + 128).clamp(0, 255).to(torch.uint8), "quantised scores", "logits"),
        (lambda z: (softmax(z) * 500).floor(), "counts of votes", "logits"),
        (lambda z: -z.log_softmax(1), "negative log-probabilities", None),
        (lambda z: (z[:, :1] > 0).int() * 2 - 1, "classes -1 and 1", None),
        (lambda z: z[:, :1], "regression model", "classes"),
        (lambda z: softmax(z)[:, :1] * 90 + 5, "a percentage, or a logit", "percent"),
    ],
)  # fmt: skip
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_other_scales_are_refused_with_what_fits(
    apply: Callable[[Tensor], Tensor], sentence: str, remedy: str | None, seed: int
) -> None:
    classes = 2 if remedy == "percent" or "-1" in sentence else 5
    scores = model(seed, classes, 1.0, End("logits", apply))(ROWS)
    if sentence == "counts of votes":
        scores[:, 0] += 500 - scores.sum(1)  # 500 votes
    with pytest.raises(VictimError, match=sentence) as refused:
        decide(scores, where="m", num_classes=classes)
    said = [one.value or one.key for one in refused.value.remedies if isinstance(one, SetKey)]
    assert remedy is None or remedy in said or remedy == "classes"
    for one in said:  # a remedy is no way back to the same refusal
        if isinstance(one, str) and one in ("bytes", "logits", "logit", "percent"):
            decide(scores, where="m", outputs=one)  # type: ignore[arg-type]


STATED: list[Outputs] = [
    "probs", "logits", "log_probs", "percent", "bytes", "sigmoid", "logit", "label",
]  # fmt: skip


@given(
    seed=st.integers(0, 10**6), name=st.sampled_from([*ENDS, *ONE]),
    stated=st.sampled_from(STATED), classes=st.integers(2, 6),
)  # fmt: skip
@settings(max_examples=150)
def test_following_the_advice_never_loops(
    seed: int, name: str, stated: Outputs, classes: int
) -> None:
    """A stated form that does not fit names one that does, and the truth comes out with it."""
    classes = 2 if name in ONE else classes
    scores = model(seed, classes, 2.0, {**ENDS, **ONE}[name])(ROWS)
    try:
        form = decide(scores, where="m", num_classes=classes, outputs=stated)
    except VictimError as error:
        (advised,) = [one.value for one in error.remedies if isinstance(one, SetKey)]
        form = decide(scores, where="m", num_classes=classes, outputs=advised)  # type: ignore[arg-type]
    if "sigmoid" in name and form.outputs == "logit":
        return  # without rows out of range the owner's word decides
    probs = form.probabilities(scores)
    agree = (probs.argmax(1) == truth(seed, classes, 2.0).argmax(1)).float().mean()
    assert agree > 0.9


def test_the_first_rows_and_the_reason_are_shown() -> None:
    scores = torch.tensor([[0.2, 0.9, 0.4], [0.1, 0.1, 0.0]])
    with pytest.raises(VictimError, match=re.escape("[0.2, 0.9, 0.4] and [0.1, 0.1, 0]")):
        decide(scores, where="m")
    form = decide(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), where="m")
    assert form.words == "gives probabilities (0 to 1, sums 1 to 1 on 2 rows)"


def test_nan_is_no_answer() -> None:
    with pytest.raises(VictimError, match="answers 1 of 2 rows with NaN or infinity"):
        decide(torch.tensor([[0.0, 1.0], [torch.nan, 1.0]]), where="m")


def test_a_class_number_out_of_range_is_one_sentence() -> None:
    form = decide(torch.tensor([0, 2, 1, 2]), where="m", num_classes=3)
    with pytest.raises(VictimError, match="got 0 to 3, want whole numbers, 0 to 2"):
        form.probabilities(torch.tensor([[0], [3]]))
    with pytest.raises(VictimError, match="number of classes is unknown"):
        decide(torch.tensor([0, 2, 1, 2]), where="m")


# -- the cases ---------------------------------------------------------------------------------


@pytest.fixture
def held_out(cases: Path) -> tuple[Tensor, Tensor]:

    held = np.load(cases / "test.npz")
    return torch.from_numpy(held["inputs"]), torch.from_numpy(held["labels"])


@pytest.mark.parametrize("name", ["softmaxed.py:model", "percent.onnx", "external.onnx"])
def test_models_with_another_end_answer_as_base_does(
    name: str, cases: Path, held_out: tuple[Tensor, Tensor]
) -> None:
    inputs, labels = held_out
    base, other = (
        load_victim(f"{cases}/{one}", input_shape=(1, 8, 8), num_classes=10)
        for one in ("base.py:model", name)
    )
    torch.testing.assert_close(other.answer(inputs), base.answer(inputs), atol=1e-5, rtol=0)
    assert (other.answer(inputs).argmax(1) == labels).float().mean() > 0.88
    assert other.answer(inputs).amax(1).mean() > 0.85


def test_other_ends_are_refused_or_stated(cases: Path, held_out: tuple[Tensor, Tensor]) -> None:
    inputs, labels = held_out
    with pytest.raises(VictimError, match="multi-label model: 10 values between 0 and 1"):
        load_victim(f"{cases}/sigmoids.onnx", input_shape=(1, 8, 8), num_classes=10)
    with pytest.raises(VictimError, match=r"probabilities in 256 steps.*`outputs='bytes'`"):
        load_victim(f"{cases}/quantised.onnx", input_shape=(1, 8, 8), num_classes=10)
    stated = load_victim(
        f"{cases}/quantised.onnx", input_shape=(1, 8, 8), num_classes=10, outputs="bytes"
    )
    assert (stated.answer(inputs).argmax(1) == labels).float().mean() > 0.88
    binary = load_victim(f"{cases}/one_sigmoid.onnx", input_shape=(1, 8, 8))
    assert binary.num_classes == 2
    held = np.load(cases / "weights.npz")
    logit = inputs.flatten(1) @ torch.from_numpy(held["weights"][3]) + float(held["bias"][3])
    torch.testing.assert_close(binary.answer(inputs)[:, 1], logit.sigmoid(), atol=1e-5, rtol=0)
    with pytest.raises(VictimError, match=r"stay between 0 and 1 .*`outputs='sigmoid'`"):
        load_victim(f"{cases}/one_sigmoid.onnx", input_shape=(1, 8, 8), outputs="logit")


def test_an_endpoint_whose_first_answer_misled_is_refused_at_the_next() -> None:
    clean = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    replies = [clean - 1, clean]  # a broken first answer, which reads as logits
    victim = asked(lambda _: replies.pop(0), where="m", local=False)
    victim.answer(ROWS[:8])
    with pytest.raises(VictimError, match=r"looked like logits .* later ones are probabilities"):
        victim.answer(ROWS[:8])
    replies = [clean - 1, clean]
    stated = asked(lambda _: replies.pop(0), where="m", local=False, outputs="logits")
    for _ in range(2):
        stated.answer(ROWS[:8])  # the owner has said so


@pytest.mark.parametrize(
    ("low", "high", "amount"),
    [(37, 42, "an age, a price"), (-900, -850, "an age, a price"), (9, 300, "an age, a price"),
     (1, 4.9, "a rating, a price"), (2, 90, "a rating, a price"), (-3, -0.6, ""), (-9, 4, ""),
     (0.6, 1.3, "")],
)  # fmt: skip
def test_an_amount_is_no_logit(low: float, high: float, amount: str) -> None:
    """A regression model is refused, and a classifier that sees one class alone is not."""
    values = torch.linspace(low, high, 16)[:, None] + 0.01
    if amount:
        with pytest.raises(VictimError, match=rf"as a regression model does \({amount}\)"):
            decide(values, where="m", far=10 * values)
        assert decide(values, where="m", outputs="logit").outputs == "logit"
    else:
        assert decide(values, where="m", far=1_000 * values).outputs == "logit"


def test_a_model_of_one_class_a_row_is_no_multi_label_model() -> None:
    with pytest.raises(VictimError, match=r"every row sums to 1, as of a model.*`outputs='probs'`"):
        decide(softmax(torch.randn(8, 5)), where="m", outputs="multi_label")
    form = decide(torch.rand(8, 5), where="m", outputs="multi_label", num_classes=5)
    assert (form.num_classes, form.columns) == (10, 5)


@pytest.mark.parametrize("bounded", [True, False])
def test_stars_are_no_percentages(bounded: bool) -> None:
    """Ratings of a regression model whose answers stay in range (trees), or leave it."""
    stars = torch.linspace(1.1, 4.8, 16)
    with pytest.raises(VictimError, match=r"as a regression model does \(a rating"):
        decide(stars, where="m", far=stars if bounded else 100 * stars)


def test_whole_numbers_from_1_are_ratings_and_not_classes() -> None:
    stars = torch.tensor([1, 5, 3, 2, 4])
    for classes in (None, 5):
        with pytest.raises(VictimError, match=r"start at 1 .*as ratings do.*minus 1.*classes=6"):
            decide(stars, where="m", num_classes=classes)
    assert decide(stars, where="m", num_classes=6).outputs == "label"
    scores = torch.tensor([[5.0, 1.0], [2.0, 3.0], [4.0, 4.0], [1.0, 2.0]])
    with pytest.raises(VictimError, match=r"whole numbers \(ratings, counts or quantised"):
        decide(scores, where="m")
    assert decide(scores, where="m", outputs="logits").outputs == "logits"
