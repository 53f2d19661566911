"""Harmless rows for `real_victims`: drawn lines, public pictures, files of Python, words."""

import json
import pydoc_data.topics
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from clonecost.data import DATASETS, load

LINES, LINE = 600, (192, 48)  # test rows, (width, height)
POOL_LINES = 2_000
OWNERS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
ATTACKERS = ("DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


def text_lines(work: Path) -> None:
    """The owner's lines, right side up and turned, and the attacker's: other words and fonts."""
    words = sorted(
        {w for t in pydoc_data.topics.topics.values() for w in re.findall("[a-z]{3,9}", t)}
    )
    rng = np.random.default_rng(7)
    words = [str(one) for one in rng.permutation(words)]
    half = len(words) // 2
    for name, count, fonts, own in (
        ("lines", LINES, OWNERS, words[:half]), ("proxy", POOL_LINES, ATTACKERS, words[half:]),
    ):  # fmt: skip
        turned = np.arange(count) % 2
        drawn = [_line(rng, own, fonts, bool(one)) for one in turned]
        np.savez_compressed(work / f"{name}.npz", inputs=np.stack(drawn), labels=turned,
                            classes=np.array(["0", "180"]))  # fmt: skip


def _line(
    rng: np.random.Generator, words: list[str], fonts: tuple[str, ...], turned: bool
) -> NDArray[np.uint8]:
    """(48, 192, 3): some words on one line, dark on light or light on dark."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(folder / rng.choice(fonts)), int(rng.integers(20, 34)))
    ink, paper = (int(v) for v in rng.permutation([rng.integers(0, 90), rng.integers(165, 256)]))
    text = " ".join(rng.choice(words, 4)).capitalize()
    picture = Image.new("RGB", LINE, (paper,) * 3)
    ImageDraw.Draw(picture).text(
        (float(rng.integers(2, 12)), LINE[1] / 2), text, (ink,) * 3, font, anchor="lm"
    )
    if turned:
        picture = picture.rotate(180)
    return np.asarray(picture)


def harmless_pictures(work: Path) -> None:
    """200 animals and vehicles of CIFAR-10's test split at 224 x 224 pixels; no person is in it."""
    rows = load("cifar10", "test", shape=(3, 224, 224)).rows(slice(0, 200))
    pixels = (rows * 255).round().to(torch.uint8).numpy()
    np.savez_compressed(work / "harmless.npz", inputs=pixels)


def cifar_rows(work: Path, rows: int = 2_000) -> None:
    """The first test rows of CIFAR-10."""
    test = load("cifar10", "test", shape=(3, 32, 32))
    pixels = (test.rows(slice(0, rows)) * 255).round().byte().numpy()
    np.savez_compressed(work / "cifar10.npz", inputs=pixels, labels=test.labels[:rows].numpy(),
                        classes=np.array(DATASETS["cifar10"].classes))  # fmt: skip


def source_files(work: Path) -> None:
    """Text files of the Python distribution by magika's own answer; every third is a test row."""
    from experiments.real_text_victims import kinds, magika

    if (work / "pool.jsonl").exists():  # magika reads the files once
        return
    (work / "kinds.txt").write_text("\n".join(kinds()) + "\n", encoding="utf-8")
    texts = [str(one) for one in np.random.default_rng(7).permutation(list(_files()))]
    classes = magika(texts).argmax(1)
    _write(work / "files.jsonl", [
        {"text": text, "label": kinds()[one]}
        for text, one in zip(texts[::3], classes[::3], strict=True)
    ][:600])  # fmt: skip
    _write(work / "pool.jsonl", [{"text": t} for n, t in enumerate(texts) if n % 3])


SUFFIXES = (".py", ".pyi", ".h", ".c", ".txt", ".md", ".rst", ".json", ".toml", ".cfg", ".css",
            ".js", ".html", ".pyx", ".pxd", ".yaml", ".yml", ".svg", ".xml", ".csv", ".cpp", ".hpp",
            ".cuh", ".ipynb", ".ini", ".sh", ".j2", ".tex", ".cmake", ".f90", ".el")  # fmt: skip


def _files(most: int = 150) -> Iterator[str]:
    """The first 3,000 characters of text files, at most 150 of a suffix."""
    roots = {Path(sysconfig.get_path(one)) for one in ("stdlib", "purelib")}
    of_suffix: dict[str, set[Path]] = {suffix: set() for suffix in SUFFIXES}
    for path in (one for root in roots for one in root.rglob("*")):  # one walk for all suffixes
        if path.suffix in of_suffix and path.is_file():
            of_suffix[path.suffix].add(path)
    for suffix in SUFFIXES:
        found = sorted(of_suffix[suffix])
        taken = 0
        for place in np.random.default_rng(7).permutation(len(found))[: 4 * most]:
            path = found[place]
            text = path.read_bytes()[:3_000].decode("utf-8", "ignore").replace("\0", "")
            if len(text.strip()) > 60 and taken < most:
                taken += 1
                yield text


def word_texts(work: Path) -> None:
    """Texts of one to six words of the filter's own vocabulary; nothing of them is printed."""
    from experiments.real_text_victims import profanity, vocabulary

    words = np.array(sorted(vocabulary()))
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(words, rng.integers(1, 7))) for _ in range(12_000)]
    owner, attacker = texts[:6_000], texts[6_000:]  # the pool is as it comes
    flagged = profanity(owner).argmax(1)
    # as many of both classes: the filter has more harmless words than others
    places = [np.flatnonzero(flagged == k)[:200] for k in (0, 1)]
    _write(work / "texts.jsonl", [
        {"text": owner[i], "label": str(k)} for k, some in enumerate(places) for i in some
    ])  # fmt: skip
    _write(work / "pool.jsonl", [{"text": text} for text in attacker])


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
