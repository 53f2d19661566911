"""Settings with which each attack learns the toy within its budget, in seconds."""

from clonecost.attacks import ATTACKS, Attack

# A new attack is tested by being listed in ATTACKS, with settings for the toy here if it needs any.
SMALL: dict[str, dict[str, object]] = {
    "active_thief": {"recipe": "shared", "epochs": 8, "round_epochs": 3, "seed_rows": 300,
                     "round_rows": 400, "candidates": 1_000, "deepfool_steps": 2},
    "black_box_ripper": {"generator": "toy", "population": 12, "elite": 4, "threshold": 0.1,
                         "max_generations": 4, "slots": 8, "reuse": "all", "loss": "kl",
                         "epochs": 5, "batch_size": 32},
    "copycat": {"recipe": "shared", "epochs": 8},
    "degan": {"gan_epochs": 1, "gan_batch": 80, "gan_width": 4, "batches": 20, "epochs": 6,
              "validation_batches": 5, "patience": 2, "batch_size": 32},
    "dfme": {"batch_size": 32, "latent_dim": 8, "student_steps": 4, "generator_width": 8,
             "generator_lr": 1e-3, "student_lr": 0.02},
    "dfms": {"batch_size": 32, "gan_width": 4, "gan_epochs": 1, "div_gan_epochs": 1,
             "augment": False, "before": 0.5, "proxy_rows": 40_000, "generated_rows": 20_000,
             "pretraining_epochs": 10, "clone_lr": 0.05, "choose_every": 300},
    "disguide": {"batch_size": 32, "latent_dim": 8, "generator_width": 8, "generator_lr": 1e-3},
    # with five student steps, its default, the budget would hold nine iterations
    "dual_students": {"batch_size": 32, "latent_dim": 8, "generator_width": 8,
                      "generator_lr": 1e-3, "student_steps": 1},
    "ex_nihilo": {
        "round_size": 100, "candidates": 6, "epochs": 3, "batch_size": 32, "ensemble": 2,
    },
    "frugal_ripper": {"round_size": 100, "epochs": 4, "batch_size": 32},
    "frozen_head": {"backbone": "tests.support.toy_backbone:encoder"},
    "ideal": {"batch_size": 50, "latent_dim": 16, "generator_width": 8, "generator_steps": 4,
              "student_steps": 20, "student_batch": 32, "student_lr": 0.05},
    "jbda": {"seeds": 100, "epochs": 5, "batch_size": 32},
    "knockoff": {"recipe": "shared", "epochs": 8},
    "knockoff_adaptive": {"recipe": "shared", "epochs": 8, "batch_size": 50, "window": 200},
    "marich": {"seed_rows": 300, "round_rows": 400, "candidates": 1_000, "round_epochs": 3},
    "maze": {"batch_size": 16, "latent_dim": 8, "directions": 2, "clone_steps": 3,
             "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02},
    # as many seeds as an iteration has rows: what it spends is still whole iterations
    "maze_pd": {"batch_size": 32, "latent_dim": 8, "directions": 2, "clone_steps": 3,
                "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02, "seeds": 160},
    "maze_star": {"batch_size": 16, "latent_dim": 8, "directions": 2, "student_steps": 4,
                  "generator_width": 8, "generator_lr": 1e-3, "student_lr": 0.02},
    "text_knockoff": {"ngrams": 1},
    "zskd": {"impressions": 1_200, "steps": 40, "impression_lr": 0.05, "epochs": 12,
             "augment": False},
    "single_image": {"epochs": 8, "scale": 0.5, "jitter": 0.9, "temperature": 1.0},
    "threshold_harvest": {"iterations": 3, "rounds": 1, "places": 9, "epsilon": 1e-3},
    # more rows for each unknown than the budget holds: it is spent to the end
    "tramer_lr": {"alpha": 1_000.0},
    "tramer_mlp": {"alpha": 1_000.0, "hidden": 4, "iterations": 30},
    "tramer_kernel_lr": {"alpha": 1_000.0, "representers": 4, "iterations": 20},
}  # fmt: skip


def toy_attack(name: str) -> Attack:
    return ATTACKS[name](**SMALL.get(name, {}))
