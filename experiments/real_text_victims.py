"""Two published classifiers of texts as victims: functions from strings to probabilities."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

END, PAD = 1_024, 256  # bytes that magika reads at each end of a file, and the token after them


@cache
def _magika() -> tuple[Any, tuple[str, ...]]:
    import json
    from importlib.util import find_spec

    import onnxruntime

    spec = find_spec("magika")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "models" / "standard_v3_3"
    config = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return session, tuple(config["target_labels_space"])


def kinds() -> tuple[str, ...]:
    """The names of magika's 214 kinds of files."""
    return _magika()[1]


def magika(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, 214) probabilities of the network itself, before the package's own thresholds."""
    session, _ = _magika()
    tokens = np.full((len(texts), 2 * END), PAD, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        content = text.encode().strip()
        first, last = content[:END], content[-END:]
        row[: len(first)] = np.frombuffer(first, np.uint8)
        if last:
            row[-len(last) :] = np.frombuffer(last, np.uint8)
    parts = [session.run(None, {"bytes": tokens[n : n + 64]})[0] for n in range(0, len(texts), 64)]
    return np.concatenate(parts)


@cache
def _filter() -> tuple[Any, Any]:
    from importlib.util import find_spec

    import joblib  # a pickle runs code: only for a package that you trust

    spec = find_spec("profanity_check")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return tuple(joblib.load(folder / f"{name}.joblib") for name in ("vectorizer", "model"))


def vocabulary() -> list[str]:
    """The words that the filter knows."""
    return list(_filter()[0].vocabulary_)


def profanity(texts: Sequence[str]) -> NDArray[np.float64]:
    """(n, 2) probabilities: harmless, and what the filter stops."""
    vectoriser, model = _filter()
    return np.asarray(model.predict_proba(vectoriser.transform(texts)))
