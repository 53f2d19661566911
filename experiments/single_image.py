"""One public photograph against many patches of two: `single_image` and `knockoff:shared`.

    python -m experiments.single_image [--budget N ...] [--seed K ...] [--epochs E] [--out FILE]

Victim `fmnist-lenet`, student `half-lenet`, the same number of epochs for both. The file is written
after every run; runs that it holds already are left out.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from clonecost.attacks.base import Attack
from clonecost.attacks.knockoff import Knockoff
from clonecost.attacks.single_image import SingleImage
from clonecost.audit import Audit, RunOptions, run_audit
from clonecost.data import load, load_proxy
from clonecost.types import ThreatModel
from clonecost.victims.zoo.images import zoo_victim

VICTIM, STUDENT, SHAPE = "fmnist-lenet", "half-lenet", (1, 32, 32)


def attacks(epochs: int) -> dict[str, Attack]:
    """The attacks that are compared, by name."""
    return {
        "single_image": SingleImage(epochs=epochs),
        "knockoff:shared": Knockoff(recipe="shared", epochs=epochs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, nargs="+", default=[5_000, 10_000])
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("suites/results/single_image.json"))
    wanted = parser.parse_args()
    victim, photos = zoo_victim(VICTIM), load_proxy("photos", shape=SHAPE)
    test = load("fmnist", "test", shape=SHAPE)
    rows = json.loads(wanted.out.read_text()) if wanted.out.is_file() else []
    known = {(row["attack"], row["budget"], row["seed"]) for row in rows}
    for budget in wanted.budget:
        for seed in wanted.seed:
            for name, attack in attacks(wanted.epochs).items():
                if (name, budget, seed) in known:
                    continue
                began = time.monotonic()
                threat = ThreatModel(input_shape=SHAPE, num_classes=10, query_budget=budget)
                with TemporaryDirectory() as folder:
                    result = run_audit(Audit(
                        victim=victim, threat=threat, attack=attack, test=test, proxy=photos,
                        out=Path(folder) / "run", student=STUDENT, seed=seed,
                        options=RunOptions(keep="none", spot_check=0),
                    ))  # fmt: skip
                last = result.curve[-1]
                rows.append({
                    "attack": name, "budget": budget, "seed": seed, "epochs": wanted.epochs,
                    "agreement": last.agreement.value,
                    "accuracy": last.accuracy.value if last.accuracy else None,
                    "seconds": round(time.monotonic() - began),
                })  # fmt: skip
                wanted.out.write_text(json.dumps(rows, indent=1) + "\n")
                print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
