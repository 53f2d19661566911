"""An endpoint as a victim: permission, then dialect, then a sender with a pace."""

import math
import weakref
from collections.abc import Sequence

import httpx2
import torch
from torch import Tensor

from clonecost.errors import SpecError, VictimError
from clonecost.result import Authorisation, EndpointCard
from clonecost.types import Feature, Progress, Shape, no_progress
from clonecost.version import __version__
from clonecost.victims.endpoints.open_inference import ROWS, connect, speaks_it
from clonecost.victims.endpoints.permission import check_address, is_local, must_be_allowed
from clonecost.victims.endpoints.sending import IDLE, Dialect, Sender, UnansweredError, hidden
from clonecost.victims.endpoints.settings import RATE, EndpointSettings, Secrets, check_secrets
from clonecost.victims.endpoints.template import ROWS as ROWS_OF_TEMPLATE
from clonecost.victims.endpoints.template import check_template, make_template, takes_many
from clonecost.victims.input_form import InputForm
from clonecost.victims.loaded_victim import LoadedVictim
from clonecost.victims.torch_model import Outputs

USER_AGENT = f"clonecost/{__version__} (+authorised audit)"


def check_endpoint(url: str, settings: EndpointSettings) -> None:
    """Refuse an endpoint that is described wrongly; sends nothing, reads no secret.

    Raises:
        SpecError: with the key that is wrong.
    """
    check_address(url)
    check_secrets(settings, url)
    if settings.body is not None:
        check_template(settings)
    elif not speaks_it(url):
        raise SpecError(
            f"{url} is not of the form http://HOST/v2/models/NAME of the Open Inference Protocol; "
            "for another API describe it under [endpoint], see docs/endpoints.md"
        )


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
) -> LoadedVictim:
    """The model behind `settings.url`, or behind `name` if that is its address.

    A model under the Open Inference Protocol is asked what it takes; no row is sent for that. Rows
    go at `rate` a second at most, retries included.

    Args:
        outputs: what it gives; None: probabilities.
        form: how it wants its pixels.
        features: the columns, if it takes rows of a table; float64 answers then stay float64.
        progress: is told when the endpoint makes us wait.

    Raises:
        SpecError: not permitted, or described wrongly; nothing was sent.
        VictimError: it does not answer, or is not what the audit takes it for.
    """
    settings, form = settings or EndpointSettings(), form or InputForm()
    url = settings.url or name
    must_be_allowed(url, authorisation)
    check_endpoint(url, settings)
    if input_shape is None:
        raise SpecError(f"{url}: give the shape of its inputs")
    if not (rate > 0 and math.isfinite(rate)):
        raise SpecError(f"rate = {rate}: want rows a second, above 0")
    if features is None:
        form.check(input_shape[0])
    elif form != InputForm():
        raise SpecError(f"layout, pixels, mean and std are of images, {url} takes rows of a table")
    secrets = Secrets(settings)
    client = httpx2.Client(
        headers={**secrets.fill(settings.headers), "User-Agent": USER_AGENT},
        timeout=settings.timeout,
        limits=httpx2.Limits(max_connections=settings.concurrency, keepalive_expiry=IDLE),
        trust_env=not is_local(url),  # this machine is reached without a proxy
    )
    dialect: Dialect
    try:
        if settings.body is not None:
            dialect = make_template(
                url, settings, secrets, form, input_shape, num_classes, features
            )
        else:
            exact = features is not None
            dialect = _connected(
                client, url, settings, secrets, form, input_shape, num_classes, exact=exact
            )
    except BaseException:
        client.close()
        raise
    sender = Sender(
        client=client, dialect=dialect, rate=rate, concurrency=settings.concurrency,
        # no request larger than a second's worth: the cap then holds in every second
        rows_per_request=min(dialect.rows_per_request, max(1, int(rate))),
        attempts=settings.attempts, hide=secrets.hide, progress=progress,
    )  # fmt: skip

    def answer(inputs: Tensor, /) -> Tensor:
        with torch.no_grad():
            scores = sender(inputs)
            return scores.softmax(1) if outputs == "logits" else scores

    weakref.finalize(answer, sender.close)

    def card() -> EndpointCard:
        return EndpointCard(
            url=url, protocol=dialect.served, authorisation=authorisation, rate=rate,
            rows_per_request=sender.rows_per_request, requests=len(sender.seconds),
            latency=sender.latency, lost_limit=None,
        )  # fmt: skip

    return LoadedVictim(
        name=name,
        answer=answer,
        input_shape=input_shape,
        num_classes=num_classes,
        classes=settings.classes,
        weights=None,
        served=f"{dialect.served}, gives {outputs or 'probs'}",
        takes=dialect.takes,
        rows_in_flight=sender.rows_in_flight,
        endpoint=card,
    )


def least_seconds(rows: int, settings: EndpointSettings, rate: float) -> float:
    """What sending so many rows takes at least: the rate cap, and the latency if it is told."""
    size = settings.batch_size or (ROWS if settings.body is None else ROWS_OF_TEMPLATE)
    if settings.body is not None and not takes_many(settings):
        size = 1
    requests = math.ceil(rows / min(size, max(1, int(rate))))
    waiting = requests / settings.concurrency * (settings.latency or 0.0)
    return max(rows / rate, waiting)


def _connected(
    client: httpx2.Client, url: str, settings: EndpointSettings, secrets: Secrets,
    form: InputForm, input_shape: Shape, num_classes: int | None, *, exact: bool,
) -> Dialect:  # fmt: skip
    try:
        return connect(client, url, settings, form, input_shape, num_classes, exact=exact)
    except UnansweredError as error:
        raise VictimError(
            secrets.hide(f"{url} does not answer ({error}): is it running, and the address right?")
        ) from None
    except VictimError as error:
        raise hidden(error, secrets.hide) from None
