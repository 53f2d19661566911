from ._catalogue import DETECTORS as DETECTORS
from .base import Declaration as Declaration
