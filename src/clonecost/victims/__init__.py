"""Victims: whatever answers inputs with probabilities, behind one interface."""

from clonecost.persistence.disk import file_digest
from clonecost.victims.load import load_victim, load_weights
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.sklearn_model import sklearn_victim
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
