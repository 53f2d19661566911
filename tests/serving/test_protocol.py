"""Requests become tensors, and nothing else of their values is kept."""

import json
from urllib.parse import quote

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.live_server import in_binary, in_json
from tests.support.toys import CLASSES, SHAPE

from clonecost.errors import SetKey, SpecError
from clonecost.serving import ServedModel
from clonecost.serving.model import must_fit_url, url_name
from clonecost.serving.protocol import decode
from clonecost.types import PredictionApi
from clonecost.victims.endpoints.wire import HEAD_LENGTH

MODEL = ServedModel(
    name="toy", victim=lambda inputs: inputs,
    api=PredictionApi(input_shape=SHAPE, num_classes=CLASSES),
)  # fmt: skip


@pytest.mark.parametrize("binary", [True, False])
def test_the_values_of_a_request_are_kept_as_a_tensor_alone(binary: bool) -> None:
    x = torch.rand(3, *SHAPE)
    body, headers = in_binary(x)
    if not binary:
        body, headers = json.dumps(in_json(x)).encode(), {}
    length = headers.get(HEAD_LENGTH)
    request, inputs = decode(bytearray(body), int(length) if length else None, MODEL, 9)
    np.testing.assert_array_equal(inputs, x)
    assert [tensor.data for tensor in request.inputs] == [None]


@settings(max_examples=200)
@given(st.text(max_size=12) | st.text("ab./-_ %", max_size=8))
def test_a_name_is_one_segment_of_a_url_or_the_remedy_is_one(name: str) -> None:
    must_fit_url(url_name(name))
    if name and quote(name, safe="") == name and name[0] not in ".-" and "~" not in name:
        must_fit_url(name)
        return
    with pytest.raises(SpecError, match="does not fit in its URL") as refused:
        must_fit_url(name)
    assert refused.value.remedies == (SetKey("name", url_name(name)),)
