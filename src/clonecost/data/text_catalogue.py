"""The data sets of texts by name; listing them reads nothing and imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextCard:
    """A data set of texts by name: a summary of one line, and where it is from."""

    summary: str
    source: str


_DOCS = "docstrings of the installed numpy, scipy and scikit-learn; depends on their versions"

TEXTS: dict[str, TextCard] = {
    "docs-sentences": TextCard(
        "some 45,000 sentences of package documentation: a proxy for texts, without labels", _DOCS
    ),
    "docs-words": TextCard("the words of docs-sentences, the most frequent first", _DOCS),
    "docs-topics": TextCard(
        "sentences of Python's own documentation in 6 classes by what the module is about",
        "docstrings of the standard library; depends on the version of Python",
    ),
}
