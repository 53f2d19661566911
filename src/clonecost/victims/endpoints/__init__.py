"""Victims at the other end of a wire: HTTP endpoints, asked slowly, openly and with permission."""

from clonecost.victims.endpoints.permission import is_local, is_url, must_be_allowed, refusal
from clonecost.victims.endpoints.settings import FREE, RATE, EndpointSettings
from clonecost.victims.endpoints.victim import (
    check_endpoint,
    endpoint_victim,
    least_seconds,
)

__all__ = [
    "FREE",
    "RATE",
    "EndpointSettings",
    "check_endpoint",
    "endpoint_victim",
    "is_local",
    "is_url",
    "least_seconds",
    "must_be_allowed",
    "refusal",
]
