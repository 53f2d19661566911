import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.errors import SetKey, VictimError
from clonecost.victims import torch_victim
from clonecost.victims.torch_model import callable_scores

SHAPE, CLASSES = (1, 4, 4), 3


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, CLASSES)
    )


def test_answers_are_the_softmax_of_the_models_logits() -> None:
    model = classifier()
    inputs = torch.rand(10, *SHAPE)
    answers = torch_victim(model)(inputs)
    torch.testing.assert_close(answers, model.eval()(inputs).softmax(1))
    assert answers.dtype == torch.float32


def test_probabilities_pass_unchanged() -> None:
    model = nn.Sequential(classifier(), nn.Softmax(dim=1))
    inputs = torch.rand(10, *SHAPE)
    assert torch.equal(torch_victim(model, outputs="probs")(inputs), model.eval()(inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_weights_of_another_type_get_inputs_of_that_type(dtype: torch.dtype) -> None:
    inputs = torch.rand(10, *SHAPE)
    answers = torch_victim(classifier().to(dtype))(inputs)
    torch.testing.assert_close(answers, torch_victim(classifier())(inputs), atol=0.02, rtol=0)
    assert answers.dtype == torch.float32


def test_gives_no_gradient_and_its_answers_can_be_a_loss_target() -> None:
    inputs = torch.rand(4, *SHAPE, requires_grad=True)
    answers = torch_victim(classifier())(inputs)
    assert not answers.requires_grad
    assert not answers.is_inference()
    student = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))
    F.kl_div(student(inputs).log_softmax(1), answers, reduction="batchmean").backward()


def test_stays_in_eval_mode_whatever_the_caller_does() -> None:
    model = classifier()
    victim = torch_victim(model)
    inputs = torch.rand(6, *SHAPE)
    first = victim(inputs)
    statistics = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    model[2].train()  # type: ignore[index]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(victim(inputs), first)
    assert all(torch.equal(v, statistics[k]) for k, v in model.state_dict().items())


def test_no_attribute_leads_to_the_model() -> None:
    victim = torch_victim(classifier())
    assert vars(victim) == {}
    for name in dir(victim):
        value = getattr(victim, name)
        assert not isinstance(value, nn.Module | Tensor), name
        assert not hasattr(value, "parameters"), name


@pytest.mark.parametrize("rows", [0, 1, 4, 5])
def test_the_model_runs_on_chunks(rows: int) -> None:
    sizes: list[int] = []

    class Recording(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            sizes.append(len(inputs))
            return inputs.flatten(1)[:, :CLASSES]

    inputs = torch.rand(rows, *SHAPE)
    victim = torch_victim(Recording(), outputs="logits", batch_size=2)
    victim(torch.rand(1, *SHAPE))  # asks rows of its own first
    sizes.clear()
    answers = victim(inputs)
    torch.testing.assert_close(answers, inputs.flatten(1)[:, :CLASSES].softmax(1))
    assert max(sizes) <= 2
    assert sum(sizes) == rows


def test_a_failure_inside_names_the_inputs() -> None:
    victim = torch_victim(classifier())
    with pytest.raises(VictimError, match=r"failed on inputs of shape \(2, 1, 5, 5\): mat1") as e:
        victim(torch.rand(2, 1, 5, 5))
    assert "\n" not in str(e.value)


class Wrong(nn.Module):
    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, inputs: Tensor) -> object:
        return self.output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            (torch.zeros(2, 3), torch.zeros(2, 3)),
            r"tuple with item 0 \(2, 3\).* Wrap the model",
        ),
        ("words", "got str. Wrap the model"),
        (torch.zeros(4), r"got \(4,\), want \(2, K\) for 2 inputs"),
        (torch.zeros(3, 3), r"got \(3, 3\), want \(2, K\)"),
    ],
)
def test_an_unusable_output_is_one_sentence(output: object, message: str) -> None:
    with pytest.raises(VictimError, match=message):
        torch_victim(Wrong(output))(torch.rand(2, *SHAPE))


def test_a_function_whose_weights_are_elsewhere_is_told_what_to_do() -> None:
    def on_another_device(inputs: Tensor) -> Tensor:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found cuda:0 and cpu"
        )

    with pytest.raises(VictimError) as refused:
        callable_scores(on_another_device)(torch.zeros(1, 1, 2, 2))
    assert SetKey("device", "cpu") in refused.value.remedies
