"""A request, checked: its model, methods that the model supports, datasets by their digests, its input."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request

from service.explanations.given_inputs import given_inputs, reading, taken, unread
from service.explanations.input import input_shapes, read_inputs
from service.explanations.request_schema import ExplanationRequest, InputField, parse_request
from service.http.access import caller_of
from service.http.bodies import Body, read_body
from service.http.errors import Invalid, TooCostly, moved
from service.http.json_text import check_small, most_commas
from service.http.pointers import pointers
from service.http.threads import in_thread
from service.queue.queue import Queue
from service.queue.served import Served
from service.queue.storage import Input
from service.settings import Settings
from workers.contract import (
    FULL,
    INTERACTIVE,
    PRIORITIES,
    Datasets,
    Extent,
    InvalidDataset,
    Method,
    ModelCard,
    Precision,
    Priority,
    UnknownDataset,
    UnknownMethod,
    at_sizes,
    cheaper,
    check_fits,
    is_open,
    method_type,
    own_datasets,
    parse_method,
    with_datasets,
    with_models,
)

COLLECTION = "collection"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the headers say of the orders, and whose they are."""

    deadline: float | None
    recompute: bool
    request_id: str
    caller: str = ""
    priority: Priority = INTERACTIVE


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request with its model's card, its methods, its input where its bytes were sent, and its terms.

    `size`: the bytes of its body, None where nobody counted; `given`: the inputs that its methods have in their
    parameters, by digest; `places`: where each of its methods stands in the request; `dataset_classes`: by the digest
    of each dataset that they look at its classes' names; `others`: the cards of models that they name, by digest;
    `precision`: what methods that bear it are computed in.
    """

    terms: Terms
    request: ExplanationRequest
    card: ModelCard
    methods: tuple[Method, ...]
    input: Input | None
    extent: Extent
    size: int | None = None
    given: Mapping[str, Input] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    dataset_classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Mapping[str, ModelCard] = field(default_factory=dict)
    precision: Precision = FULL


async def read_request(request: Request, queue: Queue, settings: Settings, datasets: Datasets) -> CheckedRequest:
    """From headers and body; raises what reading a body raises, and what `check_request` does."""
    terms = terms_of(request)
    body = await read_body(request, most_commas(queue.cards().values()))
    return await check_request(body, terms, queue, settings, datasets)


async def check_request(
    body: Body, terms: Terms, queue: Queue, settings: Settings, datasets: Datasets
) -> CheckedRequest:
    """Check all that needs no round trip to Redis; raises InputError, NoWorker, ModelLoading and ModelFailed."""
    models = queue.models()
    checked = await in_thread(lambda: checked_request(body, terms, models, settings), body.size)
    checked = replace(checked, given=await given_inputs(checked.methods, checked.given, queue))
    if any(map(own_datasets, checked.methods)):
        return await to_thread.run_sync(_with_digests, checked, datasets)
    return checked


def terms_of(request: Request) -> Terms:
    """From the headers of a request, and whose key it came with; raises Invalid."""
    headers = request.headers
    return Terms(
        _deadline(headers.get("whence-deadline")),
        "no-cache" in headers.get("cache-control", "").lower(),
        request.scope["request_id"],
        caller_of(request),
        _priority(headers.get("whence-priority")),
    )


def checked_request(body: Body, terms: Terms, models: Served, settings: Settings) -> CheckedRequest:
    request = parse_request(body.fields)
    card = models.card(request.model)
    named = request.method if request.method is not None else card.default_method
    sent: dict[str, Input] = {}
    check_methods(taken(named, unread, "/method"), settings.most_explanations)
    parsed = parse_methods(taken(named, reading(card, settings, sent), "/method"))
    methods, places = [one.suited(card.input) for one in parsed], tuple(parsed.values())
    given, sized = None, card
    if is_open(card.named):
        given = read_inputs(request, body, card, settings)
        sized = at_sizes(card, {} if given is None else input_shapes(given, card))
    for method in methods:
        _check_cost(method, sized, settings.cost_limit)
    others: dict[str, ModelCard] = {}

    def digest_of(name: str, pointer: str) -> str:
        other = models.named(name, pointer)
        others[other.digest] = other
        return other.digest

    methods = [with_models(one, digest_of, place) for one, place in zip(methods, places, strict=True)]
    if request.input is not None and request.input.dataset is not None:
        methods = [_over_items(method, request.input) for method in methods]
    given = given or read_inputs(request, body, card, settings)
    return CheckedRequest(
        terms,
        request,
        card,
        tuple(methods),
        given,
        Extent(sized),
        body.size,
        sent,
        places,
        others=others,
        precision=settings.precision,
    )


def _over_items(method: Method, given: InputField) -> Method:
    """The method over many inputs in one job; raises Invalid for one that takes no input."""
    if not method.takes_input:
        raise Invalid([{"pointer": "/input", "detail": f"{method.name} takes no input; leave the input out"}])
    start, stop = given.items or (0, None)
    return parse_method({"name": COLLECTION, "of": method, "dataset": given.dataset, "start": start, "stop": stop})


def check_methods(raw: Any, most: int) -> None:
    """Raises Invalid where there are more than so many, or more values in them than methods have."""
    if isinstance(raw, list) and not 0 < len(raw) <= most:
        detail = f"a list of methods names 1 to {most} of them; this one holds {len(raw)}"
        raise Invalid([{"pointer": "/method", "detail": detail}])
    check_small(raw, "/method")


def parse_methods(raw: Any) -> dict[Method, str]:
    """The methods of a request, each once, with where it stands first.

    Raises Invalid, UnknownMethod, InvalidParameter.
    """
    if not isinstance(raw, list):
        return {_parse(raw, "/method"): "/method"}
    found: dict[Method, str] = {}
    for index, one in enumerate(raw):
        found.setdefault(_parse(one, f"/method/{index}"), f"/method/{index}")
    return found


def _parse(raw: Any, pointer: str) -> Method:
    try:
        found = parse_method(raw)
        wrong = _converted(raw, found.to_json(), pointer)
    except RecursionError:
        raise Invalid([{"pointer": pointer, "detail": "methods are held in each other too deeply"}]) from None
    except UnknownMethod as error:
        raise UnknownMethod(error.detail, pointer=pointer) from None
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        given = {"name": raw} if isinstance(raw, str) else raw
        raise Invalid(pointers(errors, pointer, given, method_type(given["name"]))) from None
    if wrong is not None:
        raise Invalid([{"pointer": wrong, "detail": "a number comes as a number, and a truth value as true or false"}])
    return found


def _converted(raw: Any, read: Any, pointer: str) -> str | None:
    """Where a text or a truth value was taken for a number, which pydantic does without a word."""
    pairs: Iterable[tuple[str | int, Any, Any]] = ()
    if isinstance(raw, Mapping) and isinstance(read, Mapping):
        pairs = ((name, value, read[name]) for name, value in raw.items() if name in read)
    elif isinstance(raw, list) and isinstance(read, list):
        pairs = ((index, one, other) for index, (one, other) in enumerate(zip(raw, read, strict=False)))
    elif isinstance(raw, bool) != isinstance(read, bool) or (isinstance(raw, str) and isinstance(read, int | float)):
        return pointer
    found = (_converted(value, other, f"{pointer}/{name}") for name, value, other in pairs)
    return next((one for one in found if one is not None), None)


def _with_digests(checked: CheckedRequest, datasets: Datasets) -> CheckedRequest:
    """With every dataset named by its digest, which is what a job's id is of; raises UnknownDataset, InvalidDataset."""

    counts: dict[str, int] = {}
    classes: dict[str, Sequence[str]] = {}
    known: dict[str, str] = {}
    given = checked.request.input
    of_input = given.dataset if given else None

    def digest_of(name: str, pointer: str) -> str:
        if name in known:
            return known[name]
        try:
            found = datasets.card(name)
            check_fits(found, checked.card.named, pointer)
        except (UnknownDataset, InvalidDataset) as error:
            raise moved(error, "/input/dataset" if name == of_input else pointer) from None
        counts[found.digest], classes[found.digest] = found.count, found.classes
        known[name] = found.digest
        return found.digest

    placed = zip(checked.methods, checked.places, strict=True)
    methods = [with_datasets(one, digest_of, place) for one, place in placed]
    if given is not None and given.dataset is not None:
        methods = [_within(one, counts[known[given.dataset]]) for one in methods]
    extent = Extent(checked.extent.card, counts)
    return replace(checked, methods=tuple(dict.fromkeys(methods)), extent=extent, dataset_classes=classes)


def _within(method: Method, count: int) -> Method:
    """A collection of items that are there, the last of them said; raises Invalid."""
    asked = method.to_json()
    stop = asked["stop"] or count
    if stop > count:
        raise Invalid([{"pointer": "/input/items", "detail": f"the dataset has {count} items, 0 to {count - 1}"}])
    return parse_method({**asked, "stop": stop})


def _check_cost(method: Method, card: ModelCard, limit: float) -> None:
    elements = math.prod(card.input.shape)
    at = Extent(card)
    passes = method.passes(at)
    if passes * elements > limit:
        less = " or ".join(f"a {words}" for words in cheaper(method, at)) or "a cheaper method"
        raise TooCostly(
            f"{method.name} would take {passes} passes of {elements} values, and at most "
            f"{int(limit / elements)} may be; {less} makes it less",
            pointer="/method",
        )


def _deadline(header: str | None) -> float | None:
    """Unix seconds by which the work must have started, from the Whence-Deadline header; raises Invalid."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = -1
    if not 0 < seconds < 10**9:
        raise Invalid([{"pointer": "", "detail": "Whence-Deadline is a positive number of seconds"}])
    return time.time() + seconds


def _priority(header: str | None) -> Priority:
    """From the Whence-Priority header; raises Invalid."""
    for one in PRIORITIES:
        if header is None or header.strip().lower() == one:
            return one
    raise Invalid([{"pointer": "", "detail": f"Whence-Priority is {' or '.join(PRIORITIES)}"}])
