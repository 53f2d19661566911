"""Small inputs that failed in users' hands, made from seeds; each is named by what is hard in it.

`base` is a logistic regression on scikit-learn's digits, 8 x 8 grey: 88 to 97 % accurate, with a
mean top probability of about .92. All files are written into one folder by `make`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import skops.io
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Floats = npt.NDArray[np.float32]

MODULE = """from pathlib import Path

import numpy as np
import torch
from torch import nn

held = np.load(Path(__file__).with_name("weights.npz"))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.linear.weight.data = torch.from_numpy(held["weights"])
        self.linear.bias.data = torch.from_numpy(held["bias"])

    def forward(self, x):
        {body}


model = Model()
"""
BODIES = {
    "base": "return self.linear(x.flatten(1))",
    "softmaxed": "return self.linear(x.flatten(1)).softmax(1)",
    "dropout": "return self.linear(nn.functional.dropout(x.flatten(1), .5, training=True))",
}


def make(out: Path) -> Path:
    """Write all cases into the folder `out`, and return it."""
    out.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    pixels = (digits.data / 16).astype("float32")
    base = LogisticRegression(max_iter=400).fit(pixels[:1200], digits.target[:1200])
    weights, bias = base.coef_.astype("float32"), base.intercept_.astype("float32")
    np.savez(out / "weights.npz", weights=weights, bias=bias)
    held_out = pixels[1200:].reshape(-1, 1, 8, 8)
    np.savez(out / "test.npz", inputs=held_out, labels=digits.target[1200:])
    for name, body in BODIES.items():
        (out / f"{name}.py").write_text(MODULE.replace("{body}", body))
    _onnx_files(out, weights, bias)
    _folders(out, pixels, digits.target)
    _odd_pictures(out)
    _tables(out)
    _run_folders(out)
    return out


def _onnx_files(out: Path, weights: Floats, bias: Floats) -> None:
    """One linear graph with five ends: percentages, sigmoids, bytes, one sigmoid, outside weights.

    `external.onnx` has its weights in `weights.bin`.
    """

    def save(
        name: str, nodes: list[Any], final: str, width: int, kind: int = TensorProto.FLOAT,
        extra: tuple[Any, ...] = (), **how: Any,
    ) -> None:  # fmt: skip
        constants = [
            numpy_helper.from_array(weights.T.copy(), "w"),
            numpy_helper.from_array(bias, "b"), *extra,
        ]  # fmt: skip
        graph = helper.make_graph(
            [
                helper.make_node("Flatten", ["x"], ["f"]),
                helper.make_node("Gemm", ["f", "w", "b"], ["z"]), *nodes,
            ],
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
            [helper.make_tensor_value_info(final, kind, ["n", width])],
            constants,
        )  # fmt: skip
        opset = helper.make_opsetid("", 17)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.save_model(model, str(out / f"{name}.onnx"), **how)

    softmax = helper.make_node("Softmax", ["z"], ["p"], axis=1)
    hundred = numpy_helper.from_array(np.array(100, "float32"), "c")
    times = helper.make_node("Mul", ["p", "c"], ["y"])
    save("percent", [softmax, times], "y", 10, extra=(hundred,))
    save("sigmoids", [helper.make_node("Sigmoid", ["z"], ["y"])], "y", 10)
    steps = (
        numpy_helper.from_array(np.array(1 / 255, "float32"), "s"),
        numpy_helper.from_array(np.array(0, "uint8"), "o"),
    )
    quantise = helper.make_node("QuantizeLinear", ["p", "s", "o"], ["y"])
    save("quantised", [softmax, quantise], "y", 10, TensorProto.UINT8, steps)
    cut = tuple(
        numpy_helper.from_array(np.array([value], "int64"), key)
        for key, value in {"from": 3, "to": 4, "ax": 1}.items()
    )
    nodes = [
        helper.make_node("Slice", ["z", "from", "to", "ax"], ["t"]),
        helper.make_node("Sigmoid", ["t"], ["y"]),
    ]
    save("one_sigmoid", nodes, "y", 1, extra=cut)
    save(
        "external", [softmax], "p", 10,
        save_as_external_data=True, location="weights.bin", size_threshold=0,
    )  # fmt: skip


def _folders(out: Path, pixels: Floats, target: npt.NDArray[np.int64]) -> None:
    """`missing_class/` has no folder 4; `numeric/` has the folders 0, 1, 2 and 10."""
    for i in range(1200, 1500):
        label = int(target[i])
        if label != 4:
            _picture(pixels[i], out / "missing_class" / str(label) / f"{i}.png")
        if label < 4:
            _picture(pixels[i], out / "numeric" / str({3: 10}.get(label, label)) / f"{i}.png")


def _picture(row: Floats, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((row.reshape(8, 8) * 255).astype("uint8")).save(path)


def _odd_pictures(out: Path) -> None:
    """EXIF orientation 6; 16 bits a pixel; white with a gradient of opacity."""
    ramp = np.tile(np.linspace(0, 255, 64, dtype="uint8"), (64, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp).convert("RGB").save(out / "rotated.jpg", exif=exif, quality=95)
    Image.fromarray(np.tile(np.arange(256, dtype="uint16") * 257, (16, 1))).save(out / "grey16.png")
    white = np.full((16, 16, 4), 255, "uint8")
    white[..., 3] = np.tile(np.linspace(0, 255, 16, dtype="uint8"), (16, 1))
    Image.fromarray(white).save(out / "white_alpha.png")


def _tables(out: Path) -> None:
    """Models (`NAME.skops`) with their rows (`NAME.csv`) and accuracy on them (`NAME.score`)."""

    def table(name: str, model: Any, frame: pd.DataFrame, labels: Any) -> None:
        model.fit(frame, labels)
        skops.io.dump(model, out / f"{name}.skops")
        frame.assign(label=labels).to_csv(out / f"{name}.csv", index=False)
        (out / f"{name}.score").write_text(f"{model.score(frame, labels):.6f}\n")

    def scaled() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression())

    rng = np.random.default_rng(0)
    people = pd.DataFrame({
        "age": rng.integers(18, 80, 400), "income": rng.normal(40, 15, 400).round(1),
        "years": rng.integers(0, 40, 400),
    })  # fmt: skip
    worth = people.income + people.years - people.age / 4 + rng.normal(0, 8, 400)
    good = np.where(worth > 45, "good", "bad")
    table("people", scaled(), people, good)
    renamed = people[["years", "income", "age"]].set_axis(["Years", "Income", "Age"], axis=1)
    renamed.assign(label=good).to_csv(out / "renamed.csv", index=False)
    people.assign(label=good).to_csv(out / "headerless.csv", index=False, header=False)
    foreign = np.where(good == "good", "approved", "denied")
    people.assign(label=foreign).to_csv(out / "foreign_words.csv", index=False)

    wine = load_wine(as_frame=True)
    table("labels123", scaled(), wine.data, wine.target + 1)
    two = wine.target < 2
    without = wine.data[two].assign(label=wine.target[two] + 1)
    without.to_csv(out / "labels123_without_3.csv", index=False)

    ticket = pd.DataFrame(
        {"pclass": rng.integers(1, 4, 500), "fare": rng.gamma(2, 15, 500).round(2)}
    )
    chance = (ticket.pclass == 1) * 1.5 + ticket.fare / 60 + rng.normal(0, 0.6, 500)
    one_hot = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("class", one_hot, ["pclass"])], remainder=StandardScaler())
    model = make_pipeline(columns, LogisticRegression())
    table("one_hot_int", model, ticket, (chance > 1.1).astype(int))

    worded = pd.DataFrame({
        "plan": rng.choice(["None", "basic", "full"], 300),
        "usage": rng.normal(0, 1, 300).round(3),
    })  # fmt: skip
    stays = np.where((worded.plan == "full") | (worded.usage > 0.5), "stays", "leaves")
    words = ColumnTransformer([("plan", OneHotEncoder(), ["plan"])], remainder="passthrough")
    table("none_word", make_pipeline(words, LogisticRegression()), worded, stays)

    steep = pd.DataFrame(rng.normal(0, 30, (400, 4)), columns=list("abcd")).round(3)
    above = (steep @ np.array([1.0, -2, 0.5, 1]) > 3).astype(int)
    table("saturated", LogisticRegression(C=1e6, max_iter=5000), steep, above)

    x, y = make_classification(3000, 6, n_informative=4, weights=[0.97], random_state=0)
    table("imbalanced", scaled(), pd.DataFrame(x.round(4), columns=list("uvwxyz")), y)


def _run_folders(out: Path) -> None:
    """A run folder whose spec names a program to import, and one with a link to a file outside.

    `planted.py` leaves a file PLANTED_CODE_RAN in the current folder when it is imported.
    """
    stranger = out / "stranger_run"
    stranger.mkdir(exist_ok=True)
    (stranger / "spec.toml").write_text(
        'victim = "planted:victim"\ntest = "digits"\nbudget = 100\n'
    )
    (out / "planted.py").write_text(
        'from pathlib import Path\nPath("PLANTED_CODE_RAN").touch()\nvictim = None\n'
    )
    linked = out / "linked_run"
    linked.mkdir(exist_ok=True)
    (out / "outside.txt").write_text("mine\n")
    part = linked / "report.html.part"
    if not part.is_symlink():
        part.symlink_to("../outside.txt")
