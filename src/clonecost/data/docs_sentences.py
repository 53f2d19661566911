"""Sentences of documentation, out of the docstrings of packages that are installed.

The files are parsed and never imported, in sorted order. Which sentences there are depends on the
installed versions, so a copy in the user's cache is named by them.
"""

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from clonecost.data.locations import cache_folder
from clonecost.errors import Advice, DataError
from clonecost.persistence.atomic_write import atomic_write

# what clonecost itself depends on, so that everybody has it: distribution -> package
PACKAGES = {"numpy": "numpy", "scipy": "scipy", "scikit-learn": "sklearn"}
# the standard library's modules by what they are about; only modules of every supported Python
TOPICS: dict[str, tuple[str, ...]] = {
    "concurrency": ("asyncio", "concurrent", "multiprocessing", "subprocess.py", "threading.py"),
    "files": ("pathlib.py", "shutil.py", "tarfile.py", "zipfile.py", "tempfile.py", "_pyio.py",
              "mailbox.py", "gzip.py", "lzma.py", "bz2.py"),
    "mail": ("email", "imaplib.py", "smtplib.py", "poplib.py"),
    "numbers": ("_pydecimal.py", "statistics.py", "fractions.py", "random.py", "datetime.py",
                "colorsys.py", "_pydatetime.py"),
    "testing": ("unittest", "doctest.py", "pdb.py", "bdb.py", "trace.py", "traceback.py"),
    "web": ("http", "urllib", "wsgiref", "xmlrpc", "html", "socketserver.py", "ssl.py",
            "ftplib.py", "webbrowser.py", "ipaddress.py"),
}  # fmt: skip
SKIPPED = ("test", "tests", "_vendor", "externals", "array_api_extra", "array_api_compat")
LEAST, MOST = 5, 40  # words of a sentence
LONGEST = 300  # characters of one
LETTERS = 0.65  # share of letters, below which it is a formula or code
_PYTHON = {"python": sys.version.split()[0]}
_WORD = re.compile(r"[A-Za-z]{2,}")
_PARAGRAPH, _SENTENCE = re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def sentences(docstring: str) -> Iterator[str]:
    """The sentences of a docstring that are English: no tables, examples or formulas.

    Example:
        >>> list(sentences("Open a file and return a stream.\\n\\n    >>> x = 1"))
        ['Open a file and return a stream.']
    """
    for paragraph in _PARAGRAPH.split(docstring):
        for one in _SENTENCE.split(" ".join(paragraph.split())):
            words = _WORD.findall(one)
            if (
                LEAST <= len(words) <= MOST
                and len(one) <= LONGEST
                and one[0].isalpha()
                and sum(map(len, words)) > LETTERS * len(one)
                and one.isprintable()
            ):
                yield one


def documented(files: Iterable[Path]) -> list[str]:
    """The sentences of all docstrings in Python files, each once, in their order.

    A file that this Python cannot parse has none.
    """
    found: dict[str, None] = {}
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                found.update(dict.fromkeys(sentences(text)))
    return list(found)


def package_sentences() -> list[str]:
    """The sentences of `PACKAGES`, sorted; some 45,000 of current versions.

    The first call on a machine parses the packages, which takes some 15 seconds.

    Raises:
        DataError: the files of a package are not on the disk.
    """
    versions = {name: version(name) for name in PACKAGES} | _PYTHON
    return _cached("docs-sentences", versions, _of_packages)


def topic_sentences() -> dict[str, list[str]]:
    """The sentences of the standard library by topic, each list sorted; none is in two topics."""
    found = {
        topic: _cached(f"docs-topic-{topic}", _PYTHON, partial(_of_library, names))
        for topic, names in TOPICS.items()
    }
    counts: dict[str, int] = {}
    for texts in found.values():
        for text in texts:
            counts[text] = counts.get(text, 0) + 1
    return {topic: [one for one in texts if counts[one] == 1] for topic, texts in found.items()}


def _of_packages() -> list[str]:
    found: set[str] = set()
    for name in PACKAGES.values():
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise DataError(f"The files of {name}, from whose documentation sentences are taken, "
                            "are not on the disk", Advice("install it"))  # fmt: skip
        found.update(documented(_files(Path(spec.origin).parent)))
    # a proxy that shares no row with the zoo's victims: some docstrings are copied from Python's
    return sorted(found.difference(*topic_sentences().values()))


def _of_library(names: Iterable[str]) -> list[str]:
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        file
        for name in names
        for file in ([root / name] if name.endswith(".py") else _files(root / name))
    ]
    return sorted(set(documented(files)))


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*.py")
        if not set(file.relative_to(folder).parts[:-1]) & set(SKIPPED)
    )


def _cached(name: str, versions: dict[str, str], make: Callable[[], list[str]]) -> list[str]:
    """The sentences from the user's cache; made and kept where it has none of these versions."""
    facts = f"{_SENTENCE.pattern} {LEAST} {MOST} {LONGEST} {LETTERS} {SKIPPED} {TOPICS} {versions}"
    digest = hashlib.sha256(facts.encode()).hexdigest()[:12]
    path = cache_folder() / "texts" / f"{name}-{digest}.txt"
    if path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    found = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, "\n".join(found).encode())
    except OSError:
        return found  # a cache that cannot be written costs the time again
    return found
