"""What a newcomer brings: a victim in each form that is taken, test rows, and some proxy images."""

import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from clonecost.generators import train_generator
from clonecost.networks import build
from clonecost.types import LabelledInputs

SHAPE, CLASSES = (1, 16, 16), 4
TEST_ROWS, PROXY_ROWS = 200, 400
GENERATOR = "generators/sngan-small-proxy-1x16x16-seed0-epochs1"

# Logs a digest of each row before it is answered, as a billing department would: O_APPEND, so that
# nothing is lost when the process is killed. After OWN_STOP_AT logged rows it never answers.
MODULE = """
import hashlib, os, time
from pathlib import Path
import torch
from safetensors.torch import load_file
from clonecost.networks import build

net = build("lenet", (1, 16, 16), 4)
net.load_state_dict(load_file(Path(__file__).with_name("lenet.safetensors")))
net.eval()
five = build("lenet", (1, 16, 16), 5)

def _log(inputs):
    if path := os.environ.get("OWN_LOG"):
        # 64 bytes a line: a SIGKILL can cut a write in two, but only between pages of 4,096
        rows = [hashlib.sha256(row.numpy().tobytes()).hexdigest()[:63] for row in inputs]
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, ("\\n".join(rows) + "\\n").encode())
        os.close(file)
        logged = Path(path).read_bytes().count(b"\\n")
        if logged >= int(os.environ.get("OWN_STOP_AT", "1000000000")):
            time.sleep(60)

def probs(inputs):
    _log(inputs)
    return torch.cat([net(chunk).softmax(1) for chunk in inputs.split(128)])

def logits(inputs):
    _log(inputs)
    return net(inputs)

def nan(inputs):
    return probs(inputs) * float("nan")

def unnormalised(inputs):
    return probs(inputs) * 3

def falls(inputs):
    raise ConnectionError("the API went away")

def a_text(inputs):
    return str(probs(inputs).tolist())
"""


def make(folder: Path) -> Path:
    """The network, own.py, test.npz, proxy.npz, labelled.npz and GENERATOR; seconds of work."""
    rng = torch.Generator().manual_seed(0)
    train, labels = images(1_000, rng)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build("lenet", SHAPE, CLASSES)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        for rows in torch.randint(1_000, (60, 64), generator=rng):
            loss = F.cross_entropy(net(train[rows].float() / 255), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    save_file(net.state_dict(), folder / "lenet.safetensors")
    (folder / "own.py").write_text(MODULE, encoding="utf-8")
    inputs, labels = images(TEST_ROWS, rng)
    np.savez(folder / "test.npz", inputs=inputs.numpy(), labels=labels.numpy())
    proxy, labels = images(PROXY_ROWS, rng)
    np.savez(folder / "proxy.npz", inputs=proxy.numpy())
    np.savez(folder / "labelled.npz", inputs=proxy.numpy(), labels=labels.numpy())
    few = LabelledInputs(proxy, torch.full((PROXY_ROWS,), -1), name="proxy")
    assert train_generator("sngan-small", few, epochs=1, cache=folder) == folder / GENERATOR
    return folder


def images(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """(n, 1, 16, 16) uint8 noise with one brighter quarter, and which one, (n,)."""
    labels = torch.randint(CLASSES, (count,), generator=rng)
    quarter = F.one_hot(labels, CLASSES).view(count, 1, 2, 2).float()
    bright = F.interpolate(quarter, size=SHAPE[1:])
    noise = torch.rand(count, *SHAPE, generator=rng)
    return (255 * (0.15 * bright + 0.85 * noise)).to(torch.uint8), labels


def export(network: nn.Module, path: Path) -> None:
    """A torch.export program with a dynamic batch."""
    program = torch.export.export(
        network.eval(), (torch.rand(2, *SHAPE),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    torch.export.save(program, path)


def export_onnx(network: nn.Module, path: Path) -> None:
    """An ONNX graph with a dynamic batch; takes torch a few seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it exports
        torch.onnx.export(
            network.eval(), (torch.rand(2, *SHAPE),), path, dynamo=True, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
