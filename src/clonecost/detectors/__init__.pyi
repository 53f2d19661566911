from ._catalogue import DETECTORS as DETECTORS
from .base import Declaration as Declaration
from .base import Detector as Detector
from .base import Stream as Stream
