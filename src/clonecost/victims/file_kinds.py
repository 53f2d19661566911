"""Files of models that are not read here: what each is, and how its model can be audited.

The refusal and the page `docs/files.md` are made from this one list. Imports no torch.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

from clonecost.errors import Advice, VictimError
from clonecost.persistence.file_limits import at_home

WHOLE = (".onnx", ".pt2", ".skops")  # models with their computation
MODELS = (*WHOLE, ".safetensors")
BOOSTERS = (".txt", ".lgb", ".json", ".ubj", ".cbm")  # LightGBM, XGBoost and CatBoost
OF_TABLES = (".skops", *BOOSTERS)  # models that state the columns of their table
READ = (*MODELS, *BOOSTERS, ".toml")  # the description of an endpoint, and no model itself
SOURCE = 1 << 20  # bytes of a Python file whose names are listed
BEGIN, END = "<!-- kinds of files -->\n", "<!-- end of the kinds -->\n"
OWN_CODE = "load it in a Python file of your own and give FILE.py:NAME"
EXPORT = (
    'torch.onnx.export(model, (batch,), "model.onnx", dynamic_shapes=({0: "n"},)) with a model in '
    "eval mode and a batch of two rows"
)


@dataclass(frozen=True)
class FileKind:
    """A kind of files.

    Attributes:
        suffixes: of its files, or names of files inside its folders.
        what: the kind, to follow "is".
        todo: what the owner does, the best first; each is a command or a sentence.
    """

    suffixes: tuple[str, ...]
    what: str
    todo: tuple[str, ...]


KERAS = 'call keras.saving.load_model("{path}").export("model.onnx", format="onnx")'
KINDS: tuple[FileKind, ...] = (
    FileKind((".pt", ".pth", ".ckpt", ".mar"), "a torch pickle or TorchScript, which can run "
             "any code when it is loaded", (
        f"where you trust the file, load it with torch and call {EXPORT}",
        "save the weights of a network that clonecost knows with "
        'safetensors.torch.save_file(model.state_dict(), "weights.safetensors")',
    )),
    FileKind((".pkl", ".pickle", ".joblib", ".sav"), "a pickle, which can run any code when it is "
             "loaded", (
        "where you trust the file, load it and save a scikit-learn model with "
        'skops.io.dump(model, "model.skops")',
        OWN_CODE,
    )),
    FileKind((".h5", ".hdf5", ".keras"), "a Keras model", (
        KERAS, "run python -m tf2onnx.convert --keras {path} --output model.onnx (for .h5)",
    )),
    FileKind((".tflite", ".lite"), "a TFLite model", (
        "run python -m tf2onnx.convert --tflite {path} --output model.onnx",
    )),
    FileKind((".pb",), "a TensorFlow graph", (
        "run python -m tf2onnx.convert --graphdef {path} --inputs INPUT:0 --outputs OUTPUT:0 "
        "--output model.onnx",
        "give the folder of a SavedModel to tf2onnx with --saved-model",
    )),
    FileKind(("saved_model.pb", "keras_metadata.pb"), "a SavedModel folder", (
        "run python -m tf2onnx.convert --saved-model {path} --output model.onnx",
    )),
    FileKind(("config.json", "model.safetensors", "pytorch_model.bin"), "a Hugging Face folder", (
        "run optimum-cli export onnx --model {path} --task image-classification exported, and give "
        "exported/model.onnx",
        OWN_CODE,
    )),
    FileKind((".bst", ".xgb"), "an XGBoost booster of an old format", (
        'load it with the XGBoost that wrote it, and call booster.save_model("model.ubj")',
    )),
    FileKind((".bin",), "a file of weights alone", (
        "give the model itself: for a Hugging Face folder, optimum-cli export onnx --model FOLDER "
        "exported",
        f"where you trust the file, load it with torch and call {EXPORT}",
    )),
    FileKind((".mlmodel", ".mlpackage", ".mlmodelc"), "a Core ML model, which runs on a Mac only", (
        "export the model that it was converted from to ONNX",
        f"on a Mac, {OWN_CODE}: coremltools.models.MLModel",
    )),
    FileKind((".xml",), "an OpenVINO model, if it is no PMML", (
        "serve it with OpenVINO Model Server, and give http://127.0.0.1:8000/v2/models/NAME",
        f'{OWN_CODE}: openvino.Core().compile_model("{{path}}", "CPU")',
    )),
    FileKind((".pmml",), "a PMML document", (
        "save the model that it was exported from as ONNX or skops",
        f"{OWN_CODE}: pypmml.Model.load",
    )),
    FileKind((".engine", ".plan", ".trt"), "a TensorRT engine", (
        "serve it with Triton, and give http://127.0.0.1:8000/v2/models/NAME",
        "give the ONNX file that it was built from",
    )),
    FileKind((".gguf", ".ggml"), "a language model, and clonecost audits classifiers", (
        "audit the classifier that is built on it through its API, as an endpoint",
    )),
    FileKind((".msgpack", ".orbax-checkpoint"), "a file of JAX weights", (OWN_CODE,)),
    FileKind((".pdmodel", ".pdiparams"), "a Paddle model", (
        "run paddle2onnx --model_dir . --model_filename {path} --params_filename model.pdiparams "
        "--save_file model.onnx",
    )),
    FileKind((".rds", ".rdata", ".mat"), "a model of R or MATLAB", (
        "serve it over HTTP, and give the address",
        "export it to ONNX (in MATLAB: exportONNXNetwork)",
    )),
    FileKind((".zip", ".gz", ".tar", ".tgz", ".7z"), "an archive", ("unpack it first",)),
    FileKind((".ipynb",), "a notebook", (
        "run jupyter nbconvert --to script {path}, and give the Python file with the model's name",
    )),
    FileKind((".csv", ".npz", ".npy", ".parquet", ".png", ".jpg", ".jpeg"),
             "a file of data, and no model",
             ("give the model here, and the data as the test rows",)),
)  # fmt: skip


def must_be_readable(where: str) -> None:
    """Refuse a file or folder that is no victim, with what to do; other names pass.

    Args:
        where: the victim as the owner gave it, neither of the zoo nor an address.

    Raises:
        VictimError: nothing there, or a kind of file that is not read here.

    Example:
        >>> must_be_readable("model.onnx") if Path("model.onnx").is_file() else None
    """
    path = at_home(where)
    if path.is_dir():
        raise _of_folder(path)
    _, colon, name = where.rpartition(":")
    if colon and name and not path.exists():
        return  # package.module:name
    if path.suffix.lower() == ".py":
        raise _of_source(path)
    if path.suffix.lower() in READ or (not path.suffix and not path.exists()):
        return
    kind = kind_of(path)
    if kind is None and not path.exists():
        raise VictimError(
            f"There is no file {where}", Advice("check the path"),
            Advice("write a model in Python as package.module:name"),
        )  # fmt: skip
    if kind is None:
        raise VictimError(
            f"{where} is no file of a model that is read here", *_advice(ways_in()),
            got=path.suffix or "a name without ending", want=" or ".join(READ),
        )  # fmt: skip
    raise VictimError(
        f"{where} is {kind.what}. It is not read here", *_advice(remedies(kind, where))
    )


def kind_of(path: Path) -> FileKind | None:
    """The kind of a path by its ending; None: unknown."""
    suffix = path.suffix.lower()
    return next((kind for kind in KINDS if suffix and suffix in kind.suffixes), None)


def remedies(kind: FileKind, where: str) -> list[str]:
    """What the owner of a file of this kind does, with the path filled in."""
    return [one.replace("{path}", where) for one in kind.todo]


def ways_in() -> list[str]:
    """What the owner of an unknown file does."""
    return ["export the model to ONNX", OWN_CODE, "serve it over HTTP and give the address"]


def _advice(sentences: list[str]) -> list[Advice]:
    return [Advice(one) for one in sentences]


def _of_folder(path: Path) -> VictimError:
    inside = sorted(one.name for one in path.iterdir())[:1_000]
    if whole := [name for name in inside if Path(name).suffix.lower() in WHOLE]:
        return _one_of(whole, path)
    for kind in KINDS:
        marks = {one for one in kind.suffixes if not one.startswith(".")}
        if marks & set(inside) or path.suffix.lower() in kind.suffixes:
            return VictimError(
                f"{path} is {kind.what}. It is not read here", *_advice(remedies(kind, str(path)))
            )
    if models := [name for name in inside if Path(name).suffix.lower() in MODELS]:
        return _one_of(models, path)
    shown = ", ".join(inside[:5]) or "nothing"
    return VictimError(f"{path} is a folder, and it holds {shown}", *_advice(ways_in()))


def _one_of(models: list[str], path: Path) -> VictimError:
    return VictimError(f"{path} is a folder", Advice(f"give a file in it: {', '.join(models[:5])}"))


def _of_source(path: Path) -> VictimError:
    """The refusal of a Python file without a name in it; the file is read and never run."""
    if not path.is_file():
        return VictimError(f"There is no file {path}", Advice("check the path"))
    fitting = names_in(path)
    given = [f"{path}:{name}" for name in fitting[:8]]
    return VictimError(
        f"{path} is a Python file, and it is not said which name in it is the model",
        Advice(f"give {' or '.join(given)}" if given else "define a model or a function in it"),
    )


def names_in(path: Path) -> list[str]:
    """The names of a Python file that can be a model, without running it.

    A function that needs no argument may return one: its name has `()` at the end.

    Example:
        >>> names_in(Path("my_models.py"))  # doctest: +SKIP
        ['network', 'make_network()']
    """
    try:
        with path.open("rb") as file:
            tree = ast.parse(file.read(SOURCE))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.append(f"{node.name}()" if _needs_nothing(node.args) else node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_model = node.value is not None and not isinstance(node.value, ast.Constant)
            found += [one.id for one in targets if is_model and isinstance(one, ast.Name)]
        elif isinstance(node, ast.ClassDef):
            found.append(f"{node.name}()")
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def _needs_nothing(arguments: ast.arguments) -> bool:
    by_place = len(arguments.posonlyargs + arguments.args) <= len(arguments.defaults)
    return by_place and None not in arguments.kw_defaults


def table() -> str:
    """The list as Markdown, for the page."""
    rows = ["| file | what it is | what to do |", "|---|---|---|"]
    for kind in KINDS:
        names = ", ".join(f"`{one}`" for one in kind.suffixes)
        todo = "; or ".join(remedies(kind, "MODEL")).replace("|", "\\|")
        rows.append(f"| {names} | {kind.what} | {todo} |")
    return "\n".join(rows) + "\n"


def refreshed(page: str) -> str:
    """The page with the list between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")
