"""Victims: whatever answers inputs with probabilities, behind one interface."""

from clonecost.victims.estimator import sklearn_victim
from clonecost.victims.files import load_victim, load_weights
from clonecost.victims.loaded import LoadedVictim, file_digest
from clonecost.victims.torch_model import Outputs, torch_victim

__all__ = [
    "LoadedVictim",
    "Outputs",
    "file_digest",
    "load_victim",
    "load_weights",
    "sklearn_victim",
    "torch_victim",
]
