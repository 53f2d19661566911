"""Texts of the user's own files, and what is refused."""

import json
from pathlib import Path

import pytest

from clonecost.data.text_files import read_texts
from clonecost.data.text_rows import decode
from clonecost.data.texts import TextOptions, load_texts
from clonecost.errors import DataError, SetKey, SpecError

CSV = 'review,stars,label\n"Cold, and\nlate.",2,bad\nGood soup.,5,good\n'


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_a_text_column_and_its_classes_are_read_from_every_format(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ["Cold, and\nlate.", "Good soup."]
    rows = [{"review": w, "stars": k, "label": b}
            for w, k, b in zip(wanted, (2, 5), ("bad", "good"), strict=True)]  # fmt: skip
    lines = "\n".join(map(json.dumps, rows))
    parquet = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    for path in (
        write(tmp_path, "rows.csv", CSV), write(tmp_path, "rows.tsv", CSV.replace(",s", "\ts")
              .replace(",l", "\tl").replace(",2,", "\t2\t").replace(",5,", "\t5\t")),
        write(tmp_path, "rows.jsonl", lines + "\n"), parquet,
    ):  # fmt: skip
        data = load_texts(str(path), "test", TextOptions(text_column="review"))
        assert decode(data.inputs) == wanted
        assert data.classes == ("bad", "good")
        assert data.labels.tolist() == [0, 1]
        assert data.text


def test_a_file_of_lines_has_texts_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path, "words", "one\n\n two\n")  # as /usr/share/dict/words has no ending
    data = load_texts(str(path), "train", TextOptions(longest=3, cut=True))
    assert decode(data.inputs) == ["one", " tw"]
    assert data.labels.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("name", "content", "column", "label", "said"),
    [
        ("a.csv", CSV, None, None, "which one holds the text"),
        ("a.csv", CSV, "text", None, "no column 'text': want review, stars, label"),
        ("a.csv", CSV, "stars", None, "holds numbers and no text: got 2, want text"),
        ("a.csv", CSV, "review", "class", "no column 'class' beside the text"),
        ("a.csv", CSV.replace(",label", ",kind"), "review", None, "several columns beside"),
        ("a.csv", "review,label\na,b,c\n", "review", None, "more or fewer cells"),
        ("a.csv", "review,label\n", "review", None, "no rows"),
        ("a.jsonl", '{"t": 3, "label": 1}\n', "t", None, "no text in row 1: got int, want text"),
        ("a.jsonl", '{"t": "x"}\n{"label": 1}\n', "t", None, "no text in row 2: got no value"),
        ("a.jsonl", "[1]\n", "t", None, "Line 1 .* no object"),
        ("a.jsonl", "{\n", "t", None, "Line 1 .* no JSON"),
        ("a.parquet", "PAR0", "t", None, "cannot be read as Parquet"),
        ("a.txt", "\n \n", None, None, "no line with a text"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_in_a_sentence(
    name: str, content: str, column: str | None, label: str | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_texts(write(tmp_path, name, content), column, label)
    assert caught.value.remedies


def test_a_pool_needs_no_classes_and_a_long_test_text_names_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", CSV.replace(",label", ",kind"))
    assert len(read_texts(path, "review", labels=False).texts) == 2
    with pytest.raises(DataError, match="longer than the API takes") as caught:
        load_texts(str(write(tmp_path, "b.txt", "longer\n")), "test", TextOptions(longest=4))
    assert SetKey("longest", 6) in caught.value.remedies
    with pytest.raises(SpecError, match="docs-sentences"):
        load_texts("docs-sentence", "train")
