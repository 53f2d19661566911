from .catalogue import NETWORKS as NETWORKS
from .catalogue import NetworkCard as NetworkCard
from .catalogue import build as build
from .dfme_generator import GeneratorA as GeneratorA
from .dfme_generator import build_generator as build_generator
from .normalise import Normalise as Normalise
from .vae import Vae as Vae
