from ._catalogue import ATTACKS as ATTACKS
from ._catalogue import PROFILES as PROFILES
from .base import Attack as Attack
from .base import AttackerKit as AttackerKit
from .base import Declaration as Declaration
