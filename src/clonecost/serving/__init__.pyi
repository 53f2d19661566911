from .app import Limits as Limits
from .app import make_app as make_app
from .metrics import Metrics as Metrics
from .model import ServedModel as ServedModel
from .model import served_model as served_model
from .running import address_of as address_of
from .running import bind as bind
from .running import run as run
