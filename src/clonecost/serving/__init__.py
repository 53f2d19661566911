"""A server for victims under the Open Inference Protocol v2."""

from clonecost.serving.app import make_app
from clonecost.serving.limits import Limits
from clonecost.serving.live_page import live_page
from clonecost.serving.metrics import Metrics
from clonecost.serving.model import ServedModel, served_model
from clonecost.serving.running import address_of, bind, run, server

__all__ = [
    "Limits",
    "Metrics",
    "ServedModel",
    "address_of",
    "bind",
    "live_page",
    "make_app",
    "run",
    "served_model",
    "server",
]
