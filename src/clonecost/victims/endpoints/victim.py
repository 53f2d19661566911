"""An endpoint as a victim: permission, then dialect, then a sender with a rate limit."""

import math
import weakref
from collections.abc import Sequence
from urllib.parse import urlsplit

import torch
from torch import Tensor

from clonecost.errors import Advice, SetKey, SpecError, VictimError
from clonecost.result import Authorisation, EndpointCard
from clonecost.types import Feature, Progress, Shape, no_progress
from clonecost.victims.answer_form import Outputs, answered_classes
from clonecost.victims.asking import asked
from clonecost.victims.endpoints.calling import Caller, UnansweredError, exchange, open_caller
from clonecost.victims.endpoints.open_inference import ROWS, connect, is_open_inference
from clonecost.victims.endpoints.pace import Pace, RowCap
from clonecost.victims.endpoints.permission import check_address, must_be_allowed
from clonecost.victims.endpoints.request_bodies import check_headers, takes_many
from clonecost.victims.endpoints.secret_values import Secrets, check_secrets
from clonecost.victims.endpoints.sending import Dialect, Sender
from clonecost.victims.endpoints.settings import RATE, EndpointSettings
from clonecost.victims.endpoints.shared_state import SharedState
from clonecost.victims.endpoints.template import ROWS as ROWS_OF_TEMPLATE
from clonecost.victims.endpoints.template import check_template, make_template
from clonecost.victims.input_form import InputForm
from clonecost.victims.loaded_victim import LoadedVictim


def check_endpoint(url: str, settings: EndpointSettings) -> None:
    """Refuse a wrong description of an endpoint; sends nothing, reads no secret.

    Raises:
        SpecError: names the wrong key.
    """
    check_address(url)
    check_secrets(settings, url)
    check_headers(settings)
    if settings.health is not None and not settings.health.startswith("/"):
        raise SpecError("endpoint.health is no path on the endpoint's server",
                        SetKey("endpoint.health", "/health"), got=settings.health,
                        want="a path that starts with /")  # fmt: skip
    if settings.body is not None:
        check_template(settings)
    elif not is_open_inference(url):
        raise SpecError(
            "The address is none of the Open Inference Protocol",
            Advice("describe another API with `endpoint` (docs/endpoints.md)"),
            got=url, want="http://HOST/v2/models/NAME",
        )  # fmt: skip


def endpoint_victim(
    name: str,
    *,
    input_shape: Shape | None,
    num_classes: int | None,
    settings: EndpointSettings | None = None,
    authorisation: Authorisation | None = None,
    outputs: Outputs | None = None,
    form: InputForm | None = None,
    features: Sequence[Feature] | None = None,
    rate: float = RATE,
    progress: Progress = no_progress,
    text: bool = False,
) -> LoadedVictim:
    """The model behind `settings.url`, or behind `name` if that is its address.

    Under the Open Inference Protocol, the model's metadata are read; no row is sent for that.

    Args:
        input_shape: (C, H, W) or (d,).
        authorisation: the owner's permission; a local endpoint needs none.
        outputs: what the model returns; None: as its first answers show.
        form: the form in which the model takes pixels.
        features: the columns, if the model takes rows of a table; float64 answers then stay
            float64.
        rate: rows a second at most, retries included.
        progress: called when a request waits for a retry, and when the retry has succeeded.
        text: the model takes texts; float64 answers then stay float64.

    Raises:
        SpecError: the endpoint may not be queried, or its description is wrong; nothing was sent.
        VictimError: the endpoint does not answer, or does not fit the audit.

    Example:
        >>> victim = endpoint_victim("http://127.0.0.1:8000/v2/models/net",
        ...                          input_shape=(3, 32, 32), num_classes=10)
        >>> victim.answer(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 10])
    """
    settings, form = settings or EndpointSettings(), form or InputForm()
    url = settings.url or name
    must_be_allowed(url, authorisation)
    check_endpoint(url, settings)
    if input_shape is None:
        raise SpecError(f"The input shape of {url} is missing", SetKey("shape"))
    if not (rate > 0 and math.isfinite(rate)):
        raise SpecError("The rate is no number of rows a second", SetKey("rate", RATE), got=rate,
                        want="a number above 0")  # fmt: skip
    if text:
        must_take_texts(url, settings, form)
    elif features is None:
        form.check(input_shape[0])
    elif form != InputForm():
        raise SpecError(
            f"{url} takes rows of a table, and layout, pixels, channels, mean and std describe "
            "images",
            Advice("leave layout, pixels, channels, mean and std out"),
        )
    secrets, state = Secrets(settings, url), SharedState(url)
    pace = Pace(state, rate)
    cap = RowCap(state, authorisation) if authorisation and authorisation.rows else None
    caller = open_caller(url, settings, secrets)
    dialect: Dialect
    try:
        if settings.body is not None:
            filled = settings.model_copy(update={"row": secrets.fill(settings.row)})
            dialect = make_template(
                url, filled, secrets, form, input_shape, num_classes, features, outputs,
                text=text,
            )  # fmt: skip
        else:
            dialect = _connected(
                caller, url, settings, form, input_shape, num_classes, features, outputs
            )
        if settings.health is not None:
            _must_be_healthy(caller, url, settings.health)
    except BaseException:
        caller.close()
        raise
    sender = Sender(
        caller=caller, dialect=dialect, pace=pace, cap=cap, classes=num_classes,
        answer_bytes=settings.answer_bytes, concurrency=settings.concurrency,
        # no request above the rows of one second: the limit then holds in every second
        rows_per_request=min(dialect.rows_per_request, pace.most),
        attempts=settings.attempts, progress=progress,
    )  # fmt: skip

    @torch.no_grad()
    def scores(inputs: Tensor) -> Tensor:
        return sender(inputs)

    # no row is sent that is not counted: the first answers that are bought decide
    found = asked(scores, where=url, outputs=outputs, num_classes=num_classes, local=False)
    weakref.finalize(found.answer, sender.close)

    through = f", through the proxy {caller.proxy}" if caller.proxy else ""

    def card() -> EndpointCard:
        return EndpointCard(
            url=url, protocol=dialect.served + through, authorisation=authorisation, rate=rate,
            rows_per_request=sender.rows_per_request, requests=len(sender.seconds),
            latency=sender.latency, lost_limit=None,
        )  # fmt: skip

    return LoadedVictim(
        name=name,
        answer=found.answer,
        input_shape=input_shape,
        num_classes=num_classes and answered_classes(num_classes, outputs),
        classes=tuple(settings.classes) or dialect.classes,
        weights=None,
        served=dialect.served + through,
        form=found.form,
        shows=lambda: found.shows() or dialect.shows,
        takes=dialect.takes,
        rows_in_flight=sender.rows_in_flight,
        endpoint=card,
    )


def must_take_texts(url: str, settings: EndpointSettings, form: InputForm) -> None:
    """Refuse a description that cannot send texts.

    Raises:
        SpecError: names the key.
    """
    if settings.body is None:
        raise SpecError(
            f"{url} takes texts, and how it reads one is not described",
            SetKey("endpoint.body"), SetKey("endpoint.answers"),
        )  # fmt: skip
    if form != InputForm():
        raise SpecError(
            f"{url} takes texts, and layout, pixels, channels, mean and std describe images",
            Advice("leave layout, pixels, channels, mean and std out"),
        )


def least_seconds(rows: int, settings: EndpointSettings, rate: float) -> float:
    """The least time for this number of rows: by the rate limit, and by the latency if known."""
    size = settings.batch_size or (ROWS if settings.body is None else ROWS_OF_TEMPLATE)
    if settings.body is not None and not takes_many(settings):
        size = 1
    requests = math.ceil(rows / min(size, max(1, int(rate))))
    waiting = requests / settings.concurrency * (settings.latency or 0.0)
    return max(rows / rate, waiting)


def _connected(
    caller: Caller, url: str, settings: EndpointSettings, form: InputForm, input_shape: Shape,
    num_classes: int | None, features: Sequence[Feature] | None, outputs: Outputs | None,
) -> Dialect:  # fmt: skip
    try:
        return connect(
            caller, url, settings, form, input_shape, num_classes, features=features,
            outputs=outputs,
        )  # fmt: skip
    except UnansweredError as error:
        raise VictimError(
            caller.secrets.hide(f"{url} does not answer ({error})"),
            Advice("check the address, and that the endpoint is running"),
        ) from None
    except VictimError as error:
        raise caller.secrets.hidden(error) from None


def _must_be_healthy(caller: Caller, url: str, path: str) -> None:
    """Ask the server's health address, before a row is sent.

    Raises:
        VictimError: it does not answer with success.
    """
    address = urlsplit(url)
    health = f"{address.scheme}://{address.netloc}{path}"
    try:
        exchange(caller, "GET", health)
    except (UnansweredError, VictimError) as error:
        said = error.fact if isinstance(error, VictimError) else f"{health}: {error}"
        raise VictimError(
            caller.secrets.hide(f"The endpoint is not ready, and no row was sent ({said})"),
            Advice("start it, or wait until it is ready"), SetKey("endpoint.health"),
        ) from None  # fmt: skip
