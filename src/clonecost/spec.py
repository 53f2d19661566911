"""An audit as it is written down: command line or TOML -> checked values -> audits."""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from clonecost.attacks import ATTACKS, PROFILES, Attack
from clonecost.attacks.base import check_access
from clonecost.audit import OWN_MODEL, UNIFORM, Audit, Keep, wanted_generators, wrong_kind
from clonecost.audit.composition import WITHOUT_DEFENCES
from clonecost.data import load
from clonecost.data.tables import load_table
from clonecost.defences import DEFENCES
from clonecost.errors import SpecError, suggest
from clonecost.generators import GENERATORS, TrainedGenerator, is_path, ready_generator
from clonecost.networks import NETWORKS
from clonecost.result import Authorisation
from clonecost.snapshots import EVERY
from clonecost.table_zoo import TABLE_VICTIMS, table_victim
from clonecost.types import (
    Access,
    AnswerKind,
    Compiled,
    Defence,
    InputPrecision,
    LabelledInputs,
    Progress,
    Shape,
    ThreatModel,
    no_progress,
)
from clonecost.victims import LoadedVictim, load_victim
from clonecost.victims.endpoints import FREE as FREE_OF_ENDPOINT
from clonecost.victims.endpoints import (
    RATE,
    EndpointSettings,
    check_endpoint,
    endpoint_victim,
    is_url,
    must_be_allowed,
)
from clonecost.victims.input_form import InputForm, Layout, Pixels
from clonecost.zoo import VICTIMS, zoo_victim

Scalar = bool | int | float | str
SERIES = (0.02, 0.05, 0.1, 0.2, 0.5)  # of the budget: where the clone is scored by default

# What may change when a run goes on: nothing that would change its questions.
FREE = {
    "budget", "price", "milestones", "controls", "data", "keep", "rate", "max_lost",
    "authorisation", "snapshot_every", "spot_check",
}  # fmt: skip
FORM = ("layout", "pixels", "mean", "std")
REMOTE = ("endpoint", "rate", "authorisation")  # what only an endpoint needs
# what only a user's own victim needs
OWN = ("network", "outputs", "shape", "classes", "trust", "allow", *FORM, *REMOTE)


def _not_negative(value: int) -> int:
    return value if value == 0 else _positive(value)  # 0 is for white boxes: see _check_access


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError(f"{value} is not a number of queries")
    return value


class Spec(BaseModel):
    """One audit or several: every attack with every seed. The keys are the command's flags."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    victim: str
    attack: list[str] = Field(default=["knockoff:shared"], min_length=1)
    budget: Annotated[int, AfterValidator(_not_negative)] = 10_000
    proxy: str | None = None
    student: str | None = None
    answers: str = "probs"
    input_precision: InputPrecision = "float32"
    access: Access = "black-box"
    set: dict[str, dict[str, Scalar | list[float]]] = {}
    defence: list[str] = []
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    milestones: list[Annotated[int, AfterValidator(_positive)]] | None = None
    seed: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(default=[0], min_length=1)
    device: str = "auto"
    keep: Keep = "auto"
    controls: bool = False
    compile: Compiled = "no"
    snapshot_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] = EVERY
    spot_check: Annotated[int, Field(ge=0)] | None = None
    data: Path | None = None
    uniform: Annotated[int, Field(ge=0)] = UNIFORM  # evaluation rows of a table
    # of a victim that is not in the zoo:
    test: str | None = None
    network: str | None = None
    outputs: Literal["logits", "probs"] | None = None
    shape: list[int] | None = None
    classes: int | None = None
    trust: bool = False
    allow: list[str] = []
    layout: Layout | None = None
    pixels: Pixels | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    # of an endpoint:
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_lost: Annotated[int, Field(ge=1)] | None = None
    endpoint: EndpointSettings | None = None
    authorisation: Authorisation | None = None

    def fixed(self) -> dict[str, Any]:
        """The keys that stay what they are when a run goes on."""
        # pydantic's stubs do not know that one key may go whole and another in part
        left_out: Any = {**dict.fromkeys(FREE, True), "endpoint": FREE_OF_ENDPOINT}
        return self.model_dump(mode="json", exclude=left_out)


def read_spec(path: Path) -> Spec:
    """Read a TOML file.

    Raises:
        SpecError: it is missing, no TOML, has an unknown key (the right one is suggested) or value.
    """
    return make_spec(read_toml(path), where=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The keys of a TOML file, not checked yet."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path} cannot be read as TOML: {error}") from error


def make_spec(written: dict[str, Any], *, where: str = "the audit") -> Spec:
    """Check what was written. One attack, defence or seed need not stand in a list.

    In a white box the budget is 0 unless it is said: what reads the network asks nothing.
    """
    if written.get("access") == "white-box":
        written = {"budget": 0, **written}
    for key in ("attack", "defence", "seed", "allow"):
        if key in written and not isinstance(written[key], list):
            written = {**written, key: [written[key]]}
    try:
        spec = Spec.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise SpecError(f"{where}: {suggest('key', key, list(Spec.model_fields))}") from error
        if first["type"] == "missing":
            raise SpecError(f"{where}: the key {key!r} is needed") from error
        said = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{where}: {key} = {first['input']!r}: {said}") from error
    _check_names(spec)
    # "auto" is settled now: floats differ between devices, so a run stays on the one it began on
    return spec.model_copy(update={"device": str(make_device(spec.device))})


def _check_names(spec: Spec) -> None:
    _check_victim(spec)
    for key in ("attack", "seed"):
        given = getattr(spec, key)
        if len(set(given)) < len(given):
            raise SpecError(f"{key} {', '.join(map(str, given))}: one is given twice")
    _check_access(spec)
    for name in spec.attack:
        if refused := wrong_kind(name, make_attack(name, spec.set), table=of_table(spec)):
            raise SpecError(refused)
    for name in generators_of(spec):
        if name not in GENERATORS and not is_path(name):
            raise SpecError(
                suggest("generator", name, list(GENERATORS)) + "; or the folder of a trained one"
            )
    for name in spec.set:
        if name not in {attack.partition(":")[0] for attack in spec.attack}:
            known = [attack.partition(":")[0] for attack in spec.attack]
            raise SpecError(
                f"settings for an attack that is not run: {suggest('attack', name, known)}"
            )
    for text in spec.defence:
        make_defence(text)
    for what, network in (("student", spec.student), ("network", spec.network)):
        if network is not None and network not in NETWORKS:
            raise SpecError(suggest(what, network, list(NETWORKS)))
    answer_kind(spec.answers)


def _check_access(spec: Spec) -> None:
    for name in spec.attack:
        check_access(make_attack(name, spec.set), name, spec.access)
    if spec.access == "white-box" and spec.defence:
        raise SpecError(WITHOUT_DEFENCES)
    if spec.access != "white-box" and spec.budget == 0:
        raise SpecError(
            "budget = 0: 0 is not a number of queries; only a white-box reference asks nothing"
        )


def _check_victim(spec: Spec) -> None:
    if spec.victim in VICTIMS or spec.victim in TABLE_VICTIMS:
        given = [key for key in OWN if getattr(spec, key)]
        if given:
            raise SpecError(
                f"{given[0]} describes a victim of your own; {spec.victim} is one of the zoo, "
                "which knows its own"
            )
    elif url := endpoint_url(spec):
        check_endpoint(url, spec.endpoint or EndpointSettings())
    elif given := [key for key in REMOTE if getattr(spec, key) is not None]:
        raise SpecError(
            f"{given[0]} describes an endpoint, {spec.victim} is none: give its address as the "
            "victim, or as endpoint.url"
        )
    elif (Path(spec.victim) / "spec.toml").is_file():
        raise SpecError(f"{spec.victim} is a run folder: `clonecost resume {spec.victim}` goes on")
    elif ":" not in spec.victim and not Path(spec.victim).suffix:
        raise SpecError(
            suggest("victim", spec.victim, [*VICTIMS, *TABLE_VICTIMS])
            + "; or give your own: package.module:name, weights.safetensors, model.onnx, "
            "program.pt2, model.skops, or the address of an endpoint"
        )


# -- parts ---------------------------------------------------------------------------------------


def make_attack(name: str, settings: dict[str, Any]) -> Attack:
    """NAME or NAME:PROFILE, with the settings under its NAME put in."""
    base, _, profile = name.partition(":")
    if base not in ATTACKS:
        raise SpecError(suggest("attack", base, list(ATTACKS)))
    if profile and profile not in PROFILES[base]:
        raise SpecError(suggest(f"profile of {base}", profile, list(PROFILES[base])))
    attack = PROFILES[base][profile] if profile else ATTACKS[base]()
    return cast(Attack, _with(attack, settings.get(base, {}), base))


def make_defence(text: str) -> Defence:
    """NAME or NAME:key=value,key=value."""
    name, _, rest = text.partition(":")
    if name not in DEFENCES:
        raise SpecError(suggest("defence", name, list(DEFENCES)))
    settings = dict(_pair(part, text) for part in rest.split(",") if part)
    return cast(Defence, _with(DEFENCES[name](), settings, name))


def _pair(part: str, text: str) -> tuple[str, Any]:
    key, equals, value = part.partition("=")
    if not equals:
        raise SpecError(f"{text!r}: {part!r} is not of the form key=value")
    return key.strip(), parse_value(value)


def parse_value(text: str) -> Scalar | list[float]:
    """A value on the command line, read as TOML; a bare word is itself."""
    try:
        return cast(Scalar, tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        return text.strip()


def _with(part: Any, settings: dict[str, Any], name: str) -> Any:
    """`part` with some fields replaced; names and types are checked before it sees them."""
    types = get_type_hints(type(part))
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    for key, value in settings.items():
        if key not in values:
            raise SpecError(suggest(f"setting of {name}", key, list(values)))
        # TOML has no null: the word stands for it where the field can be None
        nothing = value == "none" and type(None) in get_args(types[key])
        values[key] = None if nothing else value
    try:
        return TypeAdapter(type(part)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise SpecError(f"{name}.{key} = {first['input']!r}: {first['msg']}") from error


def answer_kind(text: str) -> tuple[AnswerKind, int | None]:
    """probs, label or top_k:K -> the kind, and K."""
    kind, _, k = text.partition(":")
    if kind == "top_k" and k.isdigit():
        return "top_k", int(k)
    if text in ("probs", "label"):
        return cast(AnswerKind, text), None
    raise SpecError(f"answers {text!r}: choose probs, top_k:K (K a number) or label")


def make_device(name: str) -> torch.device:
    """auto, cpu, cuda, cuda:N or mps; refused when this machine does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no such kind")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        found = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        raise SpecError(
            f"the device {name!r} is not there ({str(error).splitlines()[0]}); "
            f"this machine has: {', '.join(found)}"
        ) from error
    return device


def default_milestones(budget: int) -> list[int]:
    """A 2-5-10 series over the last two decades below the budget."""
    return [int(budget * share) for share in SERIES if budget * share >= 1]


# -- audits --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """What several audits of one spec share."""

    victim: LoadedVictim
    threat: ThreatModel
    test: LabelledInputs
    proxy: LabelledInputs | None
    generators: dict[str, TrainedGenerator]
    true_labels: LabelledInputs | None
    student: str


def load_parts(spec: Spec, progress: Progress = no_progress) -> Parts:
    """Load the data and load (or train) the victim. Sends no row to the victim.

    An endpoint is asked what it takes, if it is one that may be asked.
    """
    if url := endpoint_url(spec):
        must_be_allowed(url, spec.authorisation)
    if of_table(spec):
        return _table_parts(spec)
    device = make_device(spec.device)
    zoo = VICTIMS.get(spec.victim)
    shape = victim_shape(spec)
    # The data first: a mistake in their name must not wait until a victim is trained.
    test = load(test_name(spec), "test", root=spec.data, shape=shape, progress=progress)
    shape = shape or test.shape
    proxy = None
    if needs_proxy(spec):
        proxy = load(proxy_name(spec), "train", root=spec.data, shape=shape, progress=progress)
    own = None
    if spec.controls and zoo:
        own = load(test_name(spec), "train", root=spec.data, shape=shape, progress=progress)
    classes = zoo.num_classes if zoo else spec.classes or _count_classes(test)
    generators = _generators(spec, proxy, device, progress)
    victim = bring_victim(spec, shape, classes, device, progress)
    if victim.takes == "uint8" and spec.input_precision != "uint8":
        raise SpecError(
            f"{victim.name} takes 8-bit pixels, so finer ones would be rounded on the way and the "
            "ledger would not say what was sent: add --input-precision uint8"
        )
    kind, top_k = answer_kind(spec.answers)
    threat = ThreatModel(
        input_shape=shape, num_classes=classes, query_budget=spec.budget, answers=kind,
        top_k=top_k, input_precision=spec.input_precision, access=spec.access,
    )  # fmt: skip
    return Parts(victim, threat, test, proxy, generators, own, student_name(spec))


def _table_parts(spec: Spec) -> Parts:
    """The same of a table, which has neither proxy nor student."""
    if spec.victim in TABLE_VICTIMS:
        victim, test = table_victim(spec.victim)
        test = load_table(spec.test, "test") if spec.test else test
    else:
        test = load_table(test_name(spec), "test")
        classes = spec.classes or _count_classes(test)
        victim = load_victim(
            spec.victim, input_shape=test.shape, num_classes=classes, outputs=spec.outputs,
            device=make_device(spec.device), trust=spec.trust, allow=spec.allow,
        )  # fmt: skip
    kind, top_k = answer_kind(spec.answers)
    threat = ThreatModel(
        input_shape=test.shape, num_classes=victim.num_classes or 0, query_budget=spec.budget,
        answers=kind, top_k=top_k, input_precision=spec.input_precision, features=test.features,
    )  # fmt: skip
    return Parts(victim, threat, test, None, {}, None, student_name(spec))


def _generators(
    spec: Spec, proxy: LabelledInputs | None, device: torch.device, progress: Progress
) -> dict[str, TrainedGenerator]:
    """Those that the attacks want: from their folder, from the cache, or trained on the proxy now.

    One serves all seeds, as one victim does.
    """
    return {
        name: ready_generator(name, proxy, device=device, progress=progress)
        for name in generators_of(spec)
    }


def _count_classes(test: LabelledInputs) -> int:
    if len(test) == 0 or int(test.labels.min()) < 0:
        raise SpecError(f"{test.name} has no labelled rows: agreement needs some to be measured on")
    return len(test.classes) or int(test.labels.max()) + 1


def audits(spec: Spec, parts: Parts, out: Path, command: str = "") -> list[Audit]:
    """Every attack with every seed, each with its own folder when there are several."""
    found = []
    milestones = spec.milestones
    for single, folder in singles(spec, out):
        (name,), (seed,) = single.attack, single.seed
        found.append(Audit(
            victim=parts.victim.answer, victim_name=parts.victim.name,
            network=parts.victim.network, weights=parts.victim.weights, threat=parts.threat,
            attack=make_attack(name, spec.set), attack_name=name, test=parts.test,
            student=parts.student, proxy=parts.proxy, generators=parts.generators, out=folder,
            defences=[make_defence(text) for text in spec.defence], price=spec.price,
            milestones=default_milestones(spec.budget) if milestones is None else milestones,
            seed=seed, device=make_device(spec.device), keep=spec.keep, controls=spec.controls,
            compile=spec.compile, uniform=spec.uniform,
            snapshot_every=spec.snapshot_every, spot_check=spec.spot_check,
            true_labels=parts.true_labels, command=command, spec=to_toml(single),
            served=parts.victim.served, endpoint=parts.victim.endpoint,
            rows_in_flight=parts.victim.rows_in_flight, max_lost=lost_limit(spec),
        ))  # fmt: skip
    return found


def singles(spec: Spec, out: Path) -> list[tuple[Spec, Path]]:
    """The spec cut into runs of one attack and one seed, with their folders."""
    several = len(spec.attack) * len(spec.seed) > 1
    found = []
    for name in spec.attack:
        base = name.partition(":")[0]
        for seed in spec.seed:
            folder = name.replace(":", "-") + (f"-seed{seed}" if len(spec.seed) > 1 else "")
            own = {base: spec.set[base]} if base in spec.set else {}
            single = spec.model_copy(update={"attack": [name], "seed": [seed], "set": own})
            found.append((single, out / folder if several else out))
    return found


def default_out(spec: Spec) -> Path:
    """runs/VICTIM-ATTACKS, and a digest of all else that is not left at its default.

    The same command finds its own run again, also with a larger budget; another one does not run
    into it.
    """
    words = [spec.victim, *spec.attack]
    usual = Spec(victim=spec.victim).fixed()
    others = {
        key: value for key, value in spec.fixed().items()
        if key not in ("victim", "attack") and value != usual[key]
    }  # fmt: skip
    if spec.device == str(make_device("auto")):
        others.pop("device", None)
    if others:
        text = json.dumps(others, sort_keys=True)
        words.append(hashlib.sha256(text.encode()).hexdigest()[:6])
    return Path("runs") / re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(words)).strip("-.")


def to_toml(spec: Spec) -> str:
    """The spec as a file that `clonecost audit` and `clonecost resume` read."""
    import tomlkit

    written = spec.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return tomlkit.dumps({"victim": written.pop("victim"), **written})


def of_table(spec: Spec) -> bool:
    """Whether the victim takes rows of a table: as the zoo or the file says, else the attacks."""
    if spec.victim in TABLE_VICTIMS or Path(spec.victim).suffix == ".skops":
        return True
    if spec.victim in VICTIMS or ":" not in spec.victim:
        return False
    return any(getattr(make_attack(a, spec.set), "takes", "") == "table" for a in spec.attack)


def needs_proxy(spec: Spec) -> bool:
    """Whether an attack asks about proxy data, or has a generator by a name trained on them."""
    return asks_proxy(spec) or any(not is_path(name) for name in generators_of(spec))


def asks_proxy(spec: Spec) -> bool:
    return any(getattr(make_attack(a, spec.set), "uses_proxy", False) for a in spec.attack)


def generators_of(spec: Spec) -> list[str]:
    """The trained generators that the attacks want, by name or folder, each once."""
    wanted = [name for a in spec.attack for name in wanted_generators(make_attack(a, spec.set))]
    return list(dict.fromkeys(wanted))


def proxy_name(spec: Spec) -> str:
    """The embedded photographs when nothing better is named: everybody has them."""
    return spec.proxy or "photos"


def test_name(spec: Spec) -> str:
    """The rows that agreement is measured on.

    Raises:
        SpecError: the victim is the user's own and none is named.
    """
    if spec.test is not None:
        return spec.test
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].dataset
    if spec.victim in TABLE_VICTIMS:
        return TABLE_VICTIMS[spec.victim].table
    raise SpecError(
        f"{spec.victim} is not in the zoo, so name the rows to measure agreement on: "
        "--test DATASET, or a file with inputs and labels"
    )


def victim_shape(spec: Spec) -> Shape | None:
    """What the victim takes, where the spec says so; else as the test rows are."""
    if spec.victim in VICTIMS:
        return VICTIMS[spec.victim].input_shape
    return tuple(spec.shape) if spec.shape else None


def student_name(spec: Spec) -> str:
    if of_table(spec):
        return OWN_MODEL
    if spec.student:
        return spec.student
    return VICTIMS[spec.victim].student if spec.victim in VICTIMS else "resnet20"


def endpoint_url(spec: Spec) -> str | None:
    """The address that is asked; None for a victim in this process.

    Raises:
        SpecError: there is a table [endpoint] and no address.
    """
    if spec.endpoint and spec.endpoint.url:
        return spec.endpoint.url
    if is_url(spec.victim):
        return spec.victim
    if spec.endpoint:
        raise SpecError("[endpoint] has no url, and the victim is none either")
    return None


def lost_limit(spec: Spec) -> int | None:
    """Rows that a run may pay for and not get.

    Of an endpoint by default a tenth of the budget, but at least 100: as a quarter of them may be
    in flight, fewer would make it crawl.
    """
    if spec.max_lost is None and endpoint_url(spec):
        return max(100, spec.budget // 10)
    return spec.max_lost


def bring_victim(
    spec: Spec,
    shape: Shape | None,
    classes: int | None,
    device: torch.device,
    progress: Progress = no_progress,
) -> LoadedVictim:
    """The victim that the spec names: from the zoo (trained now if need be) or the user's own.

    Raises:
        VictimError: it cannot be loaded.
    """
    white_box = spec.access == "white-box"
    if spec.victim in VICTIMS:
        return zoo_victim(
            spec.victim, root=spec.data, device=device, progress=progress, white_box=white_box
        )
    form = InputForm(
        layout=spec.layout, pixels=spec.pixels or "0..1", mean=tuple(spec.mean or ()),
        std=tuple(spec.std or ()),
    )  # fmt: skip
    if endpoint_url(spec):
        return endpoint_victim(
            spec.victim, input_shape=shape, num_classes=classes, settings=spec.endpoint,
            authorisation=spec.authorisation, outputs=spec.outputs, form=form,
            rate=spec.rate or RATE, progress=progress,
        )  # fmt: skip
    return load_victim(
        spec.victim, form=form, network=spec.network, input_shape=shape, num_classes=classes,
        outputs=spec.outputs, device=device, trust=spec.trust, white_box=white_box,
    )  # fmt: skip
