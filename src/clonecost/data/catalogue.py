"""The data sets that are loaded by name: their descriptions. `sources` has their files."""

from dataclasses import dataclass
from typing import Literal

from clonecost.types import Shape

Split = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """The description of a data set, for reports and lists.

    Attributes:
        summary: one line.
        shape: (C, H, W) as published.
        classes: the names of the classes, in the order of the labels.
        train, test: rows of the official splits; from a copy on disk with fewer, fewer are loaded.
        source: the publisher's address, or the package that contains the data.
        citation: the reference, and the licence if it is known.

    Example:
        >>> DATASETS["mnist"].shape, DATASETS["mnist"].num_classes
        ((1, 28, 28), 10)
    """

    summary: str
    shape: Shape
    classes: tuple[str, ...]
    train: int
    test: int
    source: str
    citation: str

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.classes)


_DIGITS = tuple("0123456789")

_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_CIFAR100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
    "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
    "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
    "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone",
    "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip

DATASETS: dict[str, DatasetCard] = {
    "digits": DatasetCard(
        summary="handwritten digits, 8x8 grey; our own stratified 70/30 split with a fixed seed",
        shape=(1, 8, 8),
        classes=_DIGITS,
        train=1258,
        test=539,
        source="installed with scikit-learn (load_digits)",
        citation="E. Alpaydin, C. Kaynak, UCI ML Repository, 1998; CC BY 4.0",
    ),
    "photos": DatasetCard(
        summary="random crops of two photographs, 32x32 RGB or larger: a proxy, no test",
        shape=(3, 32, 32),
        classes=("china", "flower"),
        train=20_000,
        test=2_000,
        source="installed with scikit-learn (load_sample_images)",
        citation="photographs by danielbuechele and vultilion on Flickr; CC BY 2.0",
    ),
    "shapes": DatasetCard(
        summary="random overlapping shapes on a plain background, blurred, 32x32 RGB: a proxy for "
        "an attacker without data",
        shape=(3, 32, 32),
        classes=("shapes",),
        train=20_000,
        test=2_000,
        source="drawn by clonecost from a fixed seed",
        citation="as in S. Sanyal, S. Addepalli, R. V. Babu, CVPR 2022 (arXiv 2204.11022), our "
        "code; free of rights",
    ),
    "fmnist": DatasetCard(
        summary="Fashion-MNIST: articles of clothing, 28x28 grey",
        shape=(1, 28, 28),
        classes=_CLOTHES,
        train=60_000,
        test=10_000,
        source="https://github.com/zalandoresearch/fashion-mnist",
        citation="H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747, 2017; MIT",
    ),
    "mnist": DatasetCard(
        summary="MNIST: handwritten digits, 28x28 grey",
        shape=(1, 28, 28),
        classes=_DIGITS,
        train=60_000,
        test=10_000,
        source="http://yann.lecun.com/exdb/mnist",
        citation="Y. LeCun, C. Cortes, C. Burges, 1998; no licence stated",
    ),
    "cifar10": DatasetCard(
        summary="CIFAR-10: tiny natural images, 32x32 RGB",
        shape=(3, 32, 32),
        classes=_CIFAR10,
        train=50_000,
        test=10_000,
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; "
        "no licence stated",
    ),
    "cifar100": DatasetCard(
        summary="CIFAR-100: tiny natural images, 32x32 RGB, 100 fine classes",
        shape=(3, 32, 32),
        classes=_CIFAR100,
        train=50_000,
        test=10_000,
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; "
        "no licence stated",
    ),
    "svhn": DatasetCard(
        summary="Street View House Numbers, cropped digits, 32x32 RGB",
        shape=(3, 32, 32),
        classes=_DIGITS,
        train=73_257,
        test=26_032,
        source="http://ufldl.stanford.edu/housenumbers",
        citation="Y. Netzer et al., NIPS workshop on deep learning, 2011; non-commercial use only",
    ),
}
