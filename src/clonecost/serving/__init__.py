"""A server for victims under the Open Inference Protocol v2."""

from clonecost.serving.app import Limits, make_app
from clonecost.serving.metrics import Metrics
from clonecost.serving.model import ServedModel, served_model
from clonecost.serving.running import address_of, bind, run

__all__ = [
    "Limits",
    "Metrics",
    "ServedModel",
    "address_of",
    "bind",
    "make_app",
    "run",
    "served_model",
]
