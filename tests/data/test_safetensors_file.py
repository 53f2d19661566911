import os
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.support.memory import at_most

from clonecost.data.safetensors_file import read_safetensors
from clonecost.errors import DataError, VictimError
from clonecost.persistence.file_limits import check_safetensors
from clonecost.victims import load_victim


def test_only_the_wanted_tensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file({"inputs": torch.ones(2, 3), "other": torch.zeros(5)}, path)
    found = read_safetensors(path, ["inputs", "labels"])
    assert list(found) == ["inputs"]
    assert (found["inputs"] == 1).all()


@settings(max_examples=100)
@given(stated=st.integers(0, 2**64 - 1) | st.integers(0, 300), rest=st.binary(max_size=200)
       | st.integers(0, 2**62).map(
           lambda n: b'{"inputs":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (n, n)
       ))  # fmt: skip
def test_any_header_is_refused_within_the_limit(
    stated: int, rest: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for length in (stated, len(rest)):
        path.write_bytes(struct.pack("<Q", length) + rest)
        with at_most(1_000_000), suppress(DataError):
            assert sum(one.numel() for one in read_safetensors(path, ["inputs"]).values()) == 0


def test_a_header_longer_than_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(VictimError, match="header states 1,099,511,627,776 bytes"):
        check_safetensors(path, VictimError)


@pytest.mark.parametrize("name", ["m.safetensors", "m.onnx", "m.skops", "m.pt2"])
def test_a_pipe_is_no_model(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(VictimError, match=f"{name} is a pipe, not a regular file"):
        load_victim(str(tmp_path / name), network="lenet", input_shape=(1, 32, 32),
                    num_classes=2, trust=True)  # fmt: skip
