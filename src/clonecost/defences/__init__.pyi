from ._catalogue import DEFENCES as DEFENCES
from ._catalogue import defend as defend
from .base import Declaration as Declaration
from .base import Recalling as Recalling
from .base import declaration_of as declaration_of
from .base import forgetful as forgetful
from .base import must_fit as must_fit
