from .backbone import Backbone as Backbone
from .catalogue import BACKBONES as BACKBONES
from .load import load_backbone as load_backbone
from .with_head import with_head as with_head
