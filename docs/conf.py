"""The site: `make docs` builds it into site/, offline, and any warning is an error."""

import inspect
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import clonecost

project = "clonecost"
author = "The clonecost authors"
version = release = clonecost.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "clonecost"
html_copy_source = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
default_role = "code"  # our docstrings write `name` as Markdown does


class PublicNames(SphinxDirective):
    """Every class and function of `clonecost.__all__`, from its docstring."""

    def run(self) -> list[nodes.Node]:
        lines = ["```{eval-rst}"]
        for name in sorted(clonecost.__all__, key=str.lower):
            public = getattr(clonecost, name)
            if inspect.isclass(public):
                lines += [f".. autoclass:: clonecost.{name}", "   :members:", ""]
            elif inspect.isfunction(public):
                lines += [f".. autofunction:: clonecost.{name}", ""]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


def files_beside_the_docs(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to Markdown outside of docs/, such as LOG.md, becomes a link to the file."""
    folder = Path(app.srcdir, page).parent

    def link(match: re.Match[str]) -> str:
        outside = not (folder / match[1]).resolve().is_relative_to(app.srcdir)
        return f"](path:{match[1]})" if outside else match[0]

    source[0] = re.sub(r"\]\((\.\./[^)#]+\.md)\)", link, source[0])


def plain_stars(app: Sphinx, what: str, name: str, of: object, o: object, lines: list[str]) -> None:
    """A star or a bar in a docstring means itself: `(n, *input_shape)`, KL(p || q)."""
    lines[:] = [re.sub(r"(?<!\\)([*|])", r"\\\1", line) for line in lines]


def setup(app: Sphinx) -> None:
    app.add_directive("public-names", PublicNames)
    app.connect("source-read", files_beside_the_docs)
    app.connect("autodoc-process-docstring", plain_stars, priority=100)  # napoleon's is 500
