"""The options that several commands share, with the words of their help."""

from pathlib import Path
from typing import Annotated

import typer

from clonecost.cli.list import names

Victim = Annotated[
    str,
    typer.Argument(
        metavar="VICTIM|SPEC.toml",
        help="A zoo name (`clonecost list victims`), `package.module:name`, "
        "`weights.safetensors` (with --network), `model.onnx`, `program.pt2` (with --trust), "
        "`model.skops` (a table), `http://127.0.0.1:8000/v2/models/NAME`, or a TOML file with the "
        "keys below.",
        autocompletion=names("victims"),
    ),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", metavar="NAME[:PROFILE]", help="May be given several times. "
                 "[default: knockoff:shared]", autocompletion=names("attacks")),
]  # fmt: skip
Budget = Annotated[
    int | None, typer.Option("--budget", help="Rows that an attack may send. [default: 10000]")
]
Proxy = Annotated[
    str | None,
    typer.Option("--proxy", metavar="DATASET[:CLASSES]", help="The attacker's own unlabelled "
                 "data: a name, .npz, .safetensors or image folder. [default: photos]",
                 autocompletion=names("datasets")),
]  # fmt: skip
Student = Annotated[
    str | None,
    typer.Option("--student", metavar="NET", help="The clone's network. [default: the zoo "
                 "victim's own student, else resnet20]", autocompletion=names("networks")),
]  # fmt: skip
Answers = Annotated[
    str | None,
    typer.Option("--answers", metavar="probs|top_k:K|label", help="What the API answers. "
                 "[default: probs]"),
]  # fmt: skip
Precision = Annotated[
    str | None,
    typer.Option("--input-precision", metavar="float32|uint8", help="What the API takes; an "
                 "image API takes 8 bits. [default: float32]"),
]  # fmt: skip
Access = Annotated[
    str | None,
    typer.Option("--access", metavar="black-box|white-box", help="white-box: for references that "
                 "read the network itself (`clonecost list attacks`). [default: black-box]"),
]  # fmt: skip
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="ATTACK.FIELD=VALUE", help="Change a setting of an attack."),
]
Defences = Annotated[
    list[str] | None,
    typer.Option("--defence", metavar="NAME[:KEY=VALUE,...]", help="Put a defence in front of "
                 "the victim; the first sits closest to it.", autocompletion=names("defences")),
]  # fmt: skip
Price = Annotated[
    float | None, typer.Option("--price", metavar="USD", help="Price of 1,000 queries.")
]
Milestones = Annotated[
    str | None,
    typer.Option("--milestones", metavar="N,N,...", help="Score the clone after these many "
                 "queries, too. [default: 2, 5, 10, 20 and 50 % of the budget]"),
]  # fmt: skip
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="May be given several times; intervals then cover training, "
                 "too. [default: 0]"),
]  # fmt: skip
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N. [default: auto]")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="RUN", help="Run folder. [default: runs/...]")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where data sets lie; CLONECOST_DATA does "
                 "the same."),
]  # fmt: skip
Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="auto|all|none", help="Keep what was sent, for `replay`. "
                 "[default: auto, up to 256 MiB]"),
]  # fmt: skip
Controls = Annotated[
    bool | None,
    typer.Option("--controls/--no-controls", help="Also train the students that show what the "
                 "queries bought (no further queries)."),
]  # fmt: skip
Compile = Annotated[
    str | None,
    typer.Option("--compile", metavar="no|generator|all", help="Run the attack's generators, or "
                 "its students too, through torch.compile. [default: no]"),
]  # fmt: skip
SnapshotEvery = Annotated[
    float | None,
    typer.Option("--snapshot-every", metavar="SECONDS", help="How much a killed run may have to "
                 "compute again, about. [default: 120]"),
]  # fmt: skip
SpotCheck = Annotated[
    int | None,
    typer.Option("--spot-check", metavar="ROWS", help="Paid rows that are asked again when a run "
                 "resumes and when it ends: is it still the same model? [default: 20 of an "
                 "endpoint, else 0]"),
]  # fmt: skip
Test = Annotated[
    str | None,
    typer.Option("--test", metavar="DATASET", help="Your own victim's test rows: a data set or "
                 "a file with inputs and labels.", rich_help_panel="Your own victim"),
]  # fmt: skip
Network = Annotated[
    str | None, typer.Option("--network", metavar="NET", help="Of a weights file.",
                             rich_help_panel="Your own victim"),
]  # fmt: skip
Outputs = Annotated[
    str | None,
    typer.Option("--outputs", metavar="logits|probs", help="What your model returns. [default: "
                 "logits of a torch module, probs of any other callable]",
                 rich_help_panel="Your own victim"),
]  # fmt: skip
Shape = Annotated[
    str | None,
    typer.Option("--shape", metavar="C,H,W", help="What your model takes. [default: as the test "
                 "rows]", rich_help_panel="Your own victim"),
]  # fmt: skip
Classes = Annotated[
    int | None, typer.Option("--classes", help="How many classes it has. [default: as the test "
                             "rows]", rich_help_panel="Your own victim"),
]  # fmt: skip
Trust = Annotated[
    bool | None,
    typer.Option("--trust", help="The .pt2 file is mine: loading one can run any code.",
                 rich_help_panel="Your own victim"),
]  # fmt: skip
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="TYPE", help="A type in the .skops file that is mine or that I "
                 "know; may be given several times.", rich_help_panel="Your own victim"),
]  # fmt: skip
Uniform = Annotated[
    int | None,
    typer.Option("--uniform", metavar="N", help="Of a table: evaluation rows drawn evenly from its "
                 "ranges, counted apart. [default: 10000]", rich_help_panel="Your own victim"),
]  # fmt: skip
Incomplete = Annotated[
    bool | None,
    typer.Option("--incomplete", help="Of a table: it answers rows with missing values (NaN).",
                 rich_help_panel="Your own victim"),
]  # fmt: skip
Layout = Annotated[
    str | None, typer.Option("--layout", metavar="nchw|nhwc", help="Where your ONNX file or "
                             "endpoint has the channels. [default: as its own shape says]",
                             rich_help_panel="Your own victim"),
]  # fmt: skip
Pixels = Annotated[
    str | None, typer.Option("--pixels", metavar="0..1|0..255", help="The range it takes. "
                             "[default: 0..1]", rich_help_panel="Your own victim"),
]  # fmt: skip
Mean = Annotated[
    str | None, typer.Option("--mean", metavar="M,M,M", help="What it wants subtracted from the "
                             "pixels, by channel.", rich_help_panel="Your own victim"),
]  # fmt: skip
Std = Annotated[
    str | None, typer.Option("--std", metavar="S,S,S", help="What it then wants them divided by.",
                             rich_help_panel="Your own victim"),
]  # fmt: skip
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Rows a second that an endpoint gets "
                               "at most. [default: 100]", rich_help_panel="An endpoint"),
]  # fmt: skip
MaxLost = Annotated[
    int | None, typer.Option("--max-lost", metavar="N", help="Rows that may be paid without an "
                             "answer before the audit stops. [default: of an endpoint a tenth of "
                             "the budget, at least 100; else no limit]",
                             rich_help_panel="An endpoint"),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FailAbove = Annotated[
    list[str] | None,
    typer.Option("--fail-above", metavar="METRIC=SHARE", help="Exit with status 1 when the final "
                 "clone's agreement, accuracy or relative_accuracy exceeds this."),
]  # fmt: skip
