"""Run `paper_scale` with what `pack_gpu` packed: `python -m experiments.with_pack FOLDER ...`.

FOLDER/lib is searched last, so that what the machine has comes first. Without `lib` the machine's
own packages must do.
"""

import importlib
import os
import sys
from pathlib import Path


def prepare(folder: Path) -> None:
    """Find packages, data and weights in the folder; in child processes, too."""
    lib = folder.resolve() / "lib"
    sys.path.append(str(lib))
    os.environ["CLONECOST_LIB"] = str(lib)
    os.environ["CLONECOST_DATA"] = str(folder.resolve() / "data")
    os.environ["CLONECOST_CACHE"] = str(folder.resolve() / "cache")


def main() -> None:
    """`FOLDER`, then the arguments of `paper_scale`."""
    prepare(Path(sys.argv[1]))
    importlib.import_module("experiments.paper_scale").main(sys.argv[2:])


if __name__ == "__main__":
    main()
