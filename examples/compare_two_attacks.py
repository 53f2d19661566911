"""Compare two attacks on one model of a table, at the same budget, and write both into one report.

Run it: python examples/compare_two_attacks.py. It writes runs/example-compare/.
"""

from pathlib import Path

from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import clonecost as cc
from clonecost.report import html, load_runs

OUT = Path("runs/example-compare")


def main() -> None:
    x, x_test, y, y_test = train_test_split(*load_wine(return_X_y=True), random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)  # yours here
    test = cc.table(x_test, y_test)
    attacks: dict[str, cc.Attack] = {
        "equations": cc.TramerLr(),  # solves for the weights: needs probabilities
        "retraining": cc.TramerAdaptiveRetrain(rounds=3),  # trains on labels, near the boundary
    }
    for name, attack in attacks.items():
        result = cc.run_audit(
            cc.Audit(
                victim=cc.LoadedVictim(name="wine", answer=cc.sklearn_victim(model)),
                threat=cc.ThreatModel(
                    input_shape=test.shape, num_classes=3, query_budget=100, features=test.features
                ),
                attack=attack,
                test=test,
                # agreement is also measured far from the test rows
                options=cc.RunOptions(uniform=1_000),
                out=OUT / name,
            )
        )
        agreement = result.curve[-1].agreement
        print(
            f"{name}: agreement {agreement.value:.1%} ({agreement.low:.1%} to {agreement.high:.1%})"
            f", majority-class baseline {result.majority_agreement:.1%}, {result.spent} queries"
        )
    page = OUT / "report.html"
    page.write_text(html(load_runs([OUT / name for name in attacks])), encoding="utf-8")
    print(f"report: {page}")


if __name__ == "__main__":
    main()
