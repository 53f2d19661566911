"""The body of a request, read within its limits: bytes, values, seconds, the server's memory."""

import asyncio

from starlette.requests import Request

from clonecost.serving.limits import JsonCount, Limits, Share
from clonecost.serving.protocol import RefusedError


async def read(
    request: Request, limits: Limits, share: Share, count: JsonCount, head_length: int | None
) -> bytearray:
    """The body of a request; the rest of a body that is refused is not kept.

    Args:
        count: of the JSON in the body, which is checked while it arrives.
        head_length: the bytes of that JSON; None: the whole body.

    Raises:
        RefusedError: 408: it took too long; 413: it is too large; 503: the server is full.
    """
    sentence = (
        f"at most {limits.max_bytes:,} bytes in one request; send fewer rows, or send binary data"
    )
    stated = request.headers.get("content-length", "0")
    if stated.isdigit() and int(stated) > limits.max_bytes:
        raise RefusedError(413, sentence)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.timeout):
            async for chunk in request.stream():  # a chunked body does not state its length
                if len(body) + len(chunk) > limits.max_bytes:
                    raise RefusedError(413, sentence)
                share.hold(len(body) + len(chunk))
                left = None if head_length is None else max(0, head_length - len(body))
                count.add(chunk[:left])
                body += chunk
    except TimeoutError:
        raise RefusedError(
            408, f"the body did not arrive within {limits.timeout:g} s", {"Connection": "close"}
        ) from None
    return body
