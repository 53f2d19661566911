"""The OpenAPI description beyond the types: the body of a request, and refusals."""

import math
from typing import Any

from clonecost.serving.model import ServedModel
from clonecost.serving.protocol import OUTPUT, input_name
from clonecost.types import Feature
from clonecost.victims.endpoints.wire import BINARY, JSON, ErrorBody, InferenceResponse
from clonecost.victims.sklearn_model import LARGEST

_REASONS = {
    400: "the request does not fit this model",
    401: "the token is missing or wrong",
    404: "there is no model of that name",
    408: "the body did not arrive in time",
    413: "too many rows or bytes in one request",
    415: "a compressed body",
    429: "the rate is exceeded; send the request again after Retry-After seconds",
    500: "the model failed or gave an unusable answer",
    503: "the server holds as many requests as it can; send the request again after Retry-After "
    "seconds",
}
_IN_BINARY = {"schema": {"type": "string", "format": "binary"}}

ANSWERED = {
    "description": "one answer for each row, in the order of the rows",
    "model": InferenceResponse,
    "content": {BINARY: _IN_BINARY},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers with these statuses, for a route's `responses`."""
    return {status: {"model": ErrorBody, "description": _REASONS[status]} for status in statuses}


def request_body(model: ServedModel, max_rows: int, max_bytes: int) -> dict[str, Any]:
    """OpenAPI's `requestBody` of an inference request to this model, with an example."""
    sides = [{"const": side} for side in model.api.input_shape]
    parameters = {"type": "object"}
    values = "numbers from 0 to 1" if model.api.features is None else "values of the features"
    types = ["number", "array", *(["null"] if model.api.incomplete else [])]
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": {"const": input_name(model)},
            "datatype": {"const": "FP32"},
            "shape": {
                "type": "array", "minItems": 1 + len(sides), "maxItems": 1 + len(sides),
                "prefixItems": [{"type": "integer", "minimum": 1, "maximum": max_rows}, *sides],
            },
            "data": {
                "type": "array", "minItems": 1, "items": {"type": types},
                "description": f"flat or nested {values}, the product of `shape` in number",
            },
            "parameters": parameters,
        },
    }  # fmt: skip
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"const": OUTPUT}, "parameters": parameters},
    }
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": parameters,
            "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": tensor},
            "outputs": {"type": "array", "items": output},
        },
    }
    example = {"inputs": [{
        "name": input_name(model), "datatype": "FP32", "shape": [1, *model.api.input_shape],
        "data": _example_row(model),
    }]}  # fmt: skip
    return {
        "required": True,
        "description": f"At most {max_rows:,} rows and {max_bytes:,} bytes.{_columns(model)}",
        "content": {JSON: {"schema": schema, "example": example}, BINARY: _IN_BINARY},
    }


def _example_row(model: ServedModel) -> list[float]:
    """A valid row: mid-grey, or the middle of every range and the first of the categories."""
    if model.api.features is None:
        return [0.5] * math.prod(model.api.input_shape)
    return [
        0.0 if feature.categories else (feature.low + feature.high) / 2
        for feature in model.api.features
    ]  # fmt: skip


def _columns(model: ServedModel) -> str:
    """The features of a table, in the order of a row's values."""
    if model.api.features is None:
        return ""
    gaps = " A missing value is null." if model.api.incomplete else ""
    return f" A row's features: {'; '.join(map(_column, model.api.features))}.{gaps}"


def _column(feature: Feature) -> str:
    if feature.high == LARGEST:
        return f"`{feature.name}`, a number"
    if not feature.categories:
        return f"`{feature.name}` from {feature.low:g} to {feature.high:g}"
    codes = ", ".join(f"{k} for {word}" for k, word in enumerate(feature.categories))
    return f"`{feature.name}`, {codes}"
