"""A spec that may be a stranger's runs, contacts and reads nothing without consent."""

import os
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpcore2
import pytest
import skops.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clonecost.config import (
    EVERYTHING,
    Spec,
    asking_for,
    bring_victim,
    checked_consent,
    consents_needed,
    make_spec,
    must_consent,
)
from clonecost.config.schema import Spec as Keys
from clonecost.errors import CloneCostError, ConsentError, SpecError
from clonecost.victims.endpoints import EndpointSettings
from clonecost.victims.sklearn_model import HARMLESS

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6)
VARIABLES = st.text(string.ascii_uppercase, min_size=3, max_size=8).map("CLONECOST_TEST_{}".format)
ADDRESSES = st.builds(
    "http://127.0.0.1:{}/{}".format, st.integers(1, 9), st.sampled_from(["v2/models/net", "api"])
)
VICTIMS = st.one_of(
    st.builds("{}:{}".format, NAMES.map("stranger_{}".format), NAMES),
    st.builds("{}:{}()".format, NAMES.map("stranger_{}".format), NAMES),
    st.builds("{}.{}".format, NAMES, st.sampled_from(["pt2", "skops", "onnx", "safetensors"])),
    ADDRESSES,
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """The text of a header or of a body, with or without a secret."""
    secret = draw(st.none() | VARIABLES)
    return draw(NAMES) if secret is None else f"Bearer env:{secret}"


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Any spec of a victim that is not of the zoo, as a file could hold it."""
    victim = draw(VICTIMS)
    endpoint = None
    if draw(st.booleans()):
        endpoint = EndpointSettings(
            url=draw(st.none() | ADDRESSES), headers=draw(st.dictionaries(NAMES, texts())),
            body={"rows": "$inputs", "more": [*draw(st.lists(texts(), max_size=2))]}, answers="p",
        )  # fmt: skip
        if endpoint.url is None and not victim.startswith("http"):
            endpoint = None
    return Keys(
        victim=victim, endpoint=endpoint, trust=draw(st.booleans()), network="lenet",
        allow=draw(st.lists(NAMES.map("stranger.{}".format), max_size=3)), shape=[1, 8, 8],
        classes=3, device="cpu",
    )  # fmt: skip


@contextmanager
def recorded(folder: Path) -> Iterator[set[str]]:
    """What is run, contacted and read meanwhile; each attempt then fails."""
    seen: set[str] = set()

    def note(kind: str, what: Callable[..., object]) -> Callable[..., Any]:
        def stop(*args: Any, **given: Any) -> Any:
            found = what(*args, **given)
            seen.update(f"{kind}:{one}" for one in (found if isinstance(found, list) else [found]))
            raise OSError("stopped by the test")

        return stop

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            if name.startswith("CLONECOST_TEST_"):
                seen.add(f"secret:{name}")
                return "a-secret"
            return super().get(name, default)

    def imported(name: str) -> object:
        return name

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("importlib.import_module", note("module", imported))
        patch.setattr(torch.export, "load", note("program", lambda path: path))
        patch.setattr(skops.io, "get_untrusted_types", lambda file: [])
        patch.setattr(
            skops.io, "load", note("type", lambda path, trusted: list({*trusted} - {*HARMLESS}))
        )
        patch.setattr(httpcore2.ConnectionPool, "stream", note(
            "host", lambda self, method, url, **_: (
                f"{url.scheme.decode()}://{url.host.decode()}:{url.port}{url.target.decode()}"
            )
        ))  # fmt: skip
        patch.setattr(os, "environ", Environment(os.environ))
        yield seen


def bring(spec: Spec, consent: Any, folder: Path) -> set[str]:
    with recorded(folder) as seen, suppress(CloneCostError, OSError):
        victim = bring_victim(spec, (1, 8, 8), 3, torch.device("cpu"), consent=consent)
        with suppress(CloneCostError, OSError):
            victim.answer(torch.rand(1, 1, 8, 8))
    return seen


def covered(event: str, asked: set[str]) -> bool:
    kind, _, what = event.partition(":")
    if kind == "module":
        return any(one.startswith(f"code:{what}:") for one in asked)
    if kind == "host":  # the metadata of a model stand above it
        return any(one.startswith("address:") and one[8:].startswith(what[:18]) for one in asked)
    return event in asked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strangers")


@settings(max_examples=150)
@given(spec=specs())
def test_everything_that_a_spec_does_is_asked_for(spec: Spec, folder: Path) -> None:
    """Instrumented loaders record what happens with all consents; the list has each of it."""
    for suffix in (".pt2", ".skops"):
        if spec.victim.endswith(suffix):
            (folder / spec.victim).touch()
    asked = set(map(str, consents_needed(spec)))
    done = bring(spec, EVERYTHING, folder)
    assert all(covered(event, asked) for event in done), (done, asked)
    if asked:
        assert bring(spec, (), folder) == set()
        with pytest.raises(ConsentError):
            must_consent(spec, asked - {min(asked)}, where="It")  # each of them is needed
        must_consent(spec, asked, where="It")


def test_the_recorders_of_the_property_test_see_something(folder: Path) -> None:
    """A property over events is worth nothing where no event is seen."""
    (folder / "a.pt2").touch()
    (folder / "a.skops").touch()
    header = {"authorization": "env:CLONECOST_TEST_KEY"}
    endpoint = EndpointSettings(headers=header)
    url = "http://127.0.0.1:1/v2/models/net"
    base = Spec(victim="stranger_a:b", shape=[1, 8, 8], classes=3, device="cpu")
    seen = [
        bring(base.model_copy(update=change), EVERYTHING, folder)
        for change in (
            {}, {"victim": "a.pt2", "trust": True}, {"victim": "a.skops", "allow": ["x.Y"]},
            {"victim": url, "endpoint": endpoint},
        )
    ]  # fmt: skip
    assert seen[:3] == [{"module:stranger_a"}, {"program:a.pt2"}, {"type:x.Y"}]
    assert "secret:CLONECOST_TEST_KEY" in seen[3]
    assert any(event.startswith("host:http://127.0.0.1:1/") for event in seen[3])


@pytest.mark.parametrize("victim", ["digits-lenet", "iris-softmax", "net.onnx", "w.safetensors"])
def test_what_runs_no_code_needs_no_consent(victim: str) -> None:
    assert consents_needed(Spec(victim=victim)) == []


def test_the_refusal_names_everything_once() -> None:
    endpoint = EndpointSettings(
        url="http://127.0.0.1:1/v2/models/net",
        headers={"a": "env:KEY", "b": "Bearer env:KEY env:OTHER"},
    )
    error = asking_for(consents_needed(Spec(victim="my api", endpoint=endpoint)), where="run.toml")
    url = "http://127.0.0.1:1/v2/models/net"
    assert str(error) == (
        f"run.toml would send rows to {url}, send the environment variable KEY to {url} and send "
        f"the environment variable OTHER to {url}. Nothing was run or sent: agree only if you know "
        f"who wrote it. Set `consent=['address:{url}', 'secret:KEY', 'secret:OTHER']`."
    )


@pytest.mark.parametrize("text", ["planted:victim", "code", "code:", ""])
def test_another_form_of_consent_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"code:\.\.\. or program:"):
        checked_consent([text])


def test_a_secret_in_the_address_is_asked_for() -> None:
    spec = make_spec({
        "victim": "http://127.0.0.1:9/c?key=env:SHOP_KEY", "test": "digits",
        "endpoint": {"body": {"x": "$input"}, "answers": "p"},
    })  # fmt: skip
    assert "secret:SHOP_KEY" in map(str, consents_needed(spec))


def test_a_backbone_of_own_code_needs_consent_with_any_victim() -> None:
    for victim in ("digits-lenet", "model.onnx"):
        keys = {"victim": victim, "attack": "frozen_head", "test": "t.npz", "set": {"frozen_head":
                {"backbone": "stranger:encoder"}}}  # fmt: skip
        spec = make_spec(keys)
        assert [str(one) for one in consents_needed(spec)] == ["code:stranger:encoder"]
        with pytest.raises(ConsentError, match="run the Python code of stranger:encoder"):
            must_consent(spec, (), where="The spec")
    listed = {**keys, "set": {"frozen_head": {"backbone": "efficientnet-lite0"}}}
    assert consents_needed(make_spec(listed)) == []
