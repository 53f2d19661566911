"""The sample of an audit of texts: a stranger's words stay words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.support.synthetic_runs import result

from clonecost.data.text_rows import encode
from clonecost.report import Run, Samples, html, markdown
from clonecost.report.sample_grid import LONGEST, said

HOSTILE = ["<script>alert(1)</script>", "a\x1b[2J\nline | ![x](http://x)", "x" * 300, ""]


def of_texts() -> Run:
    found = result()
    threat = found.threat.model_copy(update={"text": True, "input_shape": [320]})
    traffic = found.traffic.model_copy(update={"characters": 4_000})
    answers = np.eye(found.threat.num_classes, dtype=np.float32)[:1].repeat(len(HOSTILE), 0)
    samples = Samples(inputs=encode(HOSTILE, 320).numpy(), answers=answers,
                      positions=np.arange(len(HOSTILE)))  # fmt: skip
    changed = found.model_copy(update={"threat": threat, "traffic": traffic})
    return Run(Path("run"), changed, samples)


def test_texts_are_on_one_line_cut_and_without_control_characters() -> None:
    texts = [one.text for one in said(of_texts(), 32)]
    assert texts[0] == HOSTILE[0]
    assert texts[1].startswith("a\\x1b[2J line")
    assert len(texts[2]) == LONGEST
    broken = of_texts()
    assert broken.samples is not None
    broken.samples.inputs[0, :2] = 0xFF  # no UTF-8, as a stranger's folder may hold
    assert said(replace(broken), 32)[0].text.startswith("\ufffd")


def test_the_report_shows_texts_escaped_and_their_characters() -> None:
    page, document = html([of_texts()]), markdown([of_texts()])
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "(an empty text)" in page
    assert "\x1b" not in page + document
    assert "4,000 characters in" in page
    assert "![x](http" not in document
