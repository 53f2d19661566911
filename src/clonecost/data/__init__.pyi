from .catalogue import DATASETS as DATASETS
from .catalogue import DatasetCard as DatasetCard
from .catalogue import Split as Split
from .fitting import fit as fit
from .fitting import overlap as overlap
from .loading import load as load
from .locations import cache_folder as cache_folder
from .subsets import CIFAR100_SUBSETS as CIFAR100_SUBSETS
