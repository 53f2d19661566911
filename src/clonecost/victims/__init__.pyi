from .answer_form import Outputs as Outputs
from .estimator_columns import stated_table as stated_table
from .load import load_victim as load_victim
from .load import load_weights as load_weights
from .loaded_victim import LoadedVictim as LoadedVictim
from .sklearn_model import sklearn_victim as sklearn_victim
from .torch_model import torch_victim as torch_victim
