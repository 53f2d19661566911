from ._catalogue import COUNTERMEASURES as COUNTERMEASURES
from .base import Countermeasure as Countermeasure
from .base import Declaration as Declaration
from .base import Known as Known
from .base import View as View
