"""What an audit would run, contact or read, and the person's agreement to it.

A spec may come from a stranger: with a run folder, a suite, an attachment. Code, types, addresses
and secrets that it names are used only after the person at the keyboard has agreed to each of them.
The agreement is no key of a spec.
"""

import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from clonecost.backbones.catalogue import is_code
from clonecost.config.defaults import endpoint_url
from clonecost.config.schema import Spec
from clonecost.errors import ConsentError, SetKey, SpecError
from clonecost.students.naming import parse_student
from clonecost.victims.endpoints.secret_shapes import VARIABLE
from clonecost.victims.zoo.catalogue import NAMES

Kind = Literal["code", "program", "type", "address", "secret"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Consent:
    """One thing that an audit does only if the person agrees.

    Attributes:
        what: the victim's name, the file, the type, the address, or the environment variable.
        words: what the audit would do, to follow "would".
    """

    kind: Kind
    what: str
    words: str

    def __str__(self) -> str:
        """KIND:WHAT, as the person writes it to agree."""
        return f"{self.kind}:{self.what}"


class _Everything(Container[str]):
    def __contains__(self, what: object) -> bool:
        return True


EVERYTHING: Container[str] = _Everything()  # of a spec that the person wrote at the keyboard


def consents_needed(spec: Spec) -> list[Consent]:
    """Everything that the spec would run, contact or read, that its author may not decide alone.

    Example:
        >>> [str(one) for one in consents_needed(Spec(victim="my_models:net"))]
        ['code:my_models:net']
    """
    of_backbones = [
        Consent("code", one, f"run the Python code of {one}") for one in _own_backbones(spec)
    ]
    return [*_of_victim(spec), *consents_of_student(spec), *of_backbones]


def _own_backbones(spec: Spec) -> list[str]:
    """The backbones in attacks' settings that are code of whoever wrote the spec."""
    named = (own.get("backbone") for own in spec.set.values())
    return list(dict.fromkeys(one for one in named if isinstance(one, str) and is_code(one)))


def _of_victim(spec: Spec) -> list[Consent]:
    if spec.victim in NAMES:
        return []
    if url := endpoint_url(spec):
        asked = [Consent("address", url, f"send rows to {url}")]
        return asked + [
            Consent("secret", name, f"send the environment variable {name} to {url}")
            for name in _variables(spec)
        ]
    suffix = Path(spec.victim).suffix.lower()
    if suffix == ".pt2":
        words = f"load {spec.victim}, a program that can run any code"
        return [Consent("program", spec.victim, words)] if spec.trust else []
    if suffix == ".skops":
        return [
            Consent("type", one, f"load the type {one} from {spec.victim}, which can run its code")
            for one in dict.fromkeys(spec.allow)
        ]
    if suffix == ".py" or (":" in spec.victim and suffix not in (".onnx", ".safetensors")):
        return [Consent("code", spec.victim, f"run the Python code of {spec.victim}")]
    return []


def consents_of_student(spec: Spec) -> list[Consent]:
    """What the student of a spec would run or fetch that its author may not decide alone.

    Raises:
        SpecError: its name is not one that a student can have.
    """
    if spec.student is None:
        return []
    asked = parse_student(spec.student)
    if asked.code and asked.code != spec.victim:
        return [Consent("code", asked.code, f"run the Python code of {asked.code}")]
    if asked.fetched:
        words = f"fetch the weights of {asked.name} from {asked.fetched}'s hub if they are not here"
        return [Consent("address", f"{asked.kind}:{asked.name}", words)]
    return []


def not_consented(spec: Spec, consent: Container[str]) -> list[Consent]:
    """What the spec needs and the person has not agreed to.

    Args:
        consent: what was agreed to, as KIND:WHAT.
    """
    return [one for one in consents_needed(spec) if str(one) not in consent]


def must_consent(spec: Spec, consent: Container[str], *, where: str) -> None:
    """Refuse a spec that would do what the person has not agreed to.

    Args:
        consent: what was agreed to, as KIND:WHAT.
        where: what holds the spec, for the message.

    Raises:
        ConsentError: something is left to agree to; nothing was run, contacted or read.
    """
    if left := not_consented(spec, consent):
        raise asking_for(left, where=where)


def asking_for(left: Iterable[Consent], *, where: str) -> ConsentError:
    """The error that asks for every consent that is left, in one sentence."""
    unique = {str(one): one for one in left}
    *first, last = [one.words for one in unique.values()]
    would = f"{', '.join(first)} and {last}" if first else last
    return ConsentError(
        f"{where} would {would}. Nothing was run or sent: agree only if you know who wrote it",
        SetKey("consent", list(unique)),
    )


def checked_consent(given: Iterable[str]) -> frozenset[str]:
    """What a person wrote to agree, each of the form KIND:WHAT.

    Raises:
        SpecError: one has another form.
    """
    for text in given:
        kind, _, what = text.partition(":")
        if kind not in KINDS or not what:
            raise SpecError(
                "This is nothing that can be agreed to", SetKey("consent"), got=repr(text),
                want=" or ".join(f"{kind}:..." for kind in KINDS),
            )  # fmt: skip
    return frozenset(given)


def _variables(spec: Spec) -> list[str]:
    """The environment variables that the address or any text of the settings names."""
    endpoint = spec.endpoint and spec.endpoint.model_dump(mode="json")
    text = json.dumps([endpoint_url(spec), endpoint], ensure_ascii=False)
    return list(dict.fromkeys(VARIABLE.findall(text)))
