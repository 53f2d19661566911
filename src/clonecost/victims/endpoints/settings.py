"""The table `[endpoint]` of a spec."""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FileEncoding = Literal["png", "jpeg"]
PixelEncoding = Literal[FileEncoding, "uint8", "array"]
TableEncoding = Literal["record", "array", "codes", "one_hot"]
Encoding = Literal[PixelEncoding, TableEncoding, "text"]
Send = Literal["json", "multipart", "file", "csv"]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

RATE = 100.0  # rows a second, unless the owner allows more
# Keys that may change when a run resumes: no query and no answer depends on them.
FREE = {"headers", "batch_size", "concurrency", "timeout", "deadline", "answer_bytes", "attempts",
        "latency"}  # fmt: skip


class EndpointSettings(BaseModel):
    """The protocol of an endpoint; all defaults fit the Open Inference Protocol.

    Example:
        >>> EndpointSettings(body={"images": "$inputs"}, answers="predictions", batch_size=32)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    url: str | None = None  # if `victim` is not the address
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = {}  # a secret is written env:NAME
    # Open Inference Protocol v2:
    input: str | None = None  # names of the tensors; None: the only one
    output: str | None = None
    binary: bool | None = None  # None: if the server lists the extension
    # any other API:
    send: Send = "json"  # how the body is written
    body: JsonValue = None  # "$input" is a row, "$inputs" a list of rows
    row: JsonValue = "$input"  # the form of each element of "$inputs"
    encoding: Encoding | None = None  # None: png for images, record for rows of a table
    health: str | None = None  # a path; GET must be answered with success before a row is sent
    answers: str | None = None  # JMESPath to the answers
    label: str = "label"  # in an answer that lists classes, the keys of each element
    score: str = "score"
    classes: tuple[str, ...] = ()  # names in the order of the test set's labels
    top_k: Positive | None = None  # number of classes in an answer; None: all
    # traffic:
    batch_size: Positive | None = None  # rows a request
    concurrency: Positive = 4  # requests at once
    timeout: Seconds = 30.0  # without a byte
    deadline: Seconds | None = None  # of a whole request; None: 4 x timeout
    answer_bytes: Positive | None = None  # the longest answer; None: by rows and classes
    attempts: Positive = 5
    latency: Seconds | None = None  # seconds of a request, if known: for `plan`


def without_nan(numbers: list[float]) -> list[float | None]:
    """The same with null, JSON's missing value, for NaN."""
    return [None if math.isnan(number) else number for number in numbers]
