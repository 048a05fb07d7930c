"""From a client's request to the orders of the queue: one for each method and target."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from service.explanations.input import read_input
from service.explanations.request_schema import ExplanationRequest, parse_methods, parse_request
from service.http.bodies import Body
from service.http.errors import Invalid, ModelFailed, NoWorker, TooCostly
from service.queue.orders import Input, Order
from service.queue.queue import Queue
from service.settings import Settings
from workers.contract import (
    Datasets,
    Extent,
    InvalidDataset,
    InvalidImage,
    Job,
    Method,
    MethodNotApplicable,
    ModelCard,
    Target,
    UnknownDataset,
    UnknownInput,
    UnknownModel,
    cheaper,
    check_fits,
    keys,
    parse_method,
    parse_targets,
    with_datasets,
    with_models,
)

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Terms:
    """What the headers say of the orders, and whose they are."""

    deadline: float | None
    recompute: bool
    request_id: str
    caller: str = ""
    priority: keys.Priority = keys.INTERACTIVE


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood: its model, its methods that the model supports, its input where its bytes were sent."""

    request: ExplanationRequest
    card: ModelCard
    methods: tuple[Method, ...]
    input: Input | None
    extent: Extent


def understand(
    body: Body, cards: Mapping[str, ModelCard], settings: Settings, failed: Mapping[str, str] = NONE
) -> Asked:
    """Read and check all that needs no Redis. Raises InputError and NoWorker."""
    request = parse_request(body.fields)
    if body.upload is not None and request.input is not None:
        raise Invalid([{"pointer": "/input", "detail": "the input came twice: as bytes, and in the request"}])
    card = card_named(request.model, cards, failed)
    named = request.method if request.method is not None else card.default_method
    methods = parse_methods(named, settings.most_explanations)
    for method in methods:
        _check_cost(method, card, settings.cost_limit)
    methods = [with_models(one, lambda name, pointer: _digest(name, pointer, cards)) for one in methods]
    given = read_input(request.input, body.upload, card.input, settings)
    return Asked(request, card, tuple(methods), given, Extent(card))


def _digest(name: str, pointer: str, cards: Mapping[str, ModelCard]) -> str:
    """Of the model that a method names by its name or digest; raises UnknownModel."""
    for card in cards.values():
        if name in (card.name, card.digest):
            return card.digest
    raise UnknownModel(f"there is no such model; there are: {', '.join(sorted(cards))}", pointer=pointer)


def names_datasets(methods: Sequence[Method]) -> bool:
    """Whether any of them, or a method held in one, looks at a dataset."""
    found: list[str] = []

    def note(name: str, _: str) -> str:
        found.append(name)
        return name

    for method in methods:
        with_datasets(method, note)
    return bool(found)


def with_digests(asked: Asked, datasets: Datasets) -> Asked:
    """With every dataset named by its digest, which is what a job's id is of; raises UnknownDataset, InvalidDataset."""

    counts: dict[str, int] = {}
    read: dict[str, str] = {}

    def digest_of(name: str, pointer: str) -> str:
        if name in read:
            return read[name]
        try:
            found = datasets.card(name)
        except (UnknownDataset, InvalidDataset) as error:
            raise type(error)(error.detail, pointer=pointer) from None
        check_fits(found, asked.card.input, pointer)
        counts[found.digest] = found.count
        read[name] = found.digest
        return found.digest

    listed = isinstance(asked.request.method, list)
    pointers = [f"/method/{i}" if listed else "/method" for i in range(len(asked.methods))]
    methods = [with_datasets(one, digest_of, where) for one, where in zip(asked.methods, pointers, strict=True)]
    return replace(asked, methods=tuple(dict.fromkeys(methods)), extent=Extent(asked.card, counts))


def card_named(name: str, cards: Mapping[str, ModelCard], failed: Mapping[str, str] = NONE) -> ModelCard:
    """Raises ModelFailed with the reason, UnknownModel, or NoWorker while no worker has told of any model."""
    if name in cards:
        return cards[name]
    if name in failed:
        raise ModelFailed(f"the model {name} cannot be served: {failed[name]}")
    if not cards:
        raise NoWorker("no worker has started yet, so no model is served; try again in a moment")
    raise UnknownModel(f"there is no such model; there are: {', '.join(sorted(cards))}", pointer="/model")


def orders(asked: Asked, given: Input | None, terms: Terms, most: int) -> list[Order]:
    """An order for each method and target; `given` is the input, found by digest where its bytes were not sent."""
    aimed = any(method.takes_target for method in asked.methods) or asked.request.target != "argmax"
    targets = parse_targets(asked.request.target, asked.card) if aimed else []
    for method in asked.methods:
        _check_support(method, targets, asked.card)
    if sum(len(targets) if method.takes_target else 1 for method in asked.methods) > most:
        raise Invalid([{"pointer": "", "detail": f"one request asks for at most {most} explanations"}])
    jobs = [
        (Job(model=asked.card.digest, input=kept.digest if kept else None, target=target, method=method), kept)
        for method in asked.methods
        for kept in [_input_of(method, given)]
        for target in (targets if method.takes_target else [None])
    ]
    said = (terms.deadline, terms.request_id, terms.recompute, terms.caller, terms.priority)
    passes = {method: method.passes(asked.extent) for method in asked.methods}
    found = [Order(job, asked.card.name, kept, *said, passes=passes[job.method]) for job, kept in jobs]
    for order in found:
        order.job.prepare()
    return found


async def stored_input(asked: Asked, queue: Queue) -> Input | None:
    """The input that the request names by its digest; None where it names none. Raises UnknownInput, InvalidImage."""
    digest = asked.request.input.digest if asked.request.input else None
    if digest is None:
        return None
    kind = await queue.find_input(digest)
    if kind is None:
        raise UnknownInput("no input of this digest is stored; send its bytes", pointer="/input/digest")
    if kind == "image" and asked.card.input.kind != "image":
        raise InvalidImage("the digest is that of an image, and the model takes a tensor", pointer="/input/digest")
    return Input(digest, "image" if kind == "image" else "tensor")


def deadline(header: str | None) -> float | None:
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


def priority(header: str | None) -> keys.Priority:
    """From the Whence-Priority header; raises Invalid."""
    for one in keys.PRIORITIES:
        if header is None or header.strip().lower() == one:
            return one
    raise Invalid([{"pointer": "", "detail": f"Whence-Priority is {' or '.join(keys.PRIORITIES)}"}])


def _check_support(method: Method, targets: Sequence[Target], card: ModelCard) -> None:
    """Refuse at once what the card says of default parameters and the model's output; workers decide the rest."""
    told = card.support_of(method.name)
    of_output = all(target.kind != "unit" for target in targets) or not method.takes_target
    if told is not None and not told.supported and of_output and method == parse_method(method.name):
        why = f"{method.name} cannot explain {card.name}: {told.reason}"
        raise MethodNotApplicable(why, pointer="/method", alternatives=told.alternatives)


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


def _input_of(method: Method, given: Input | None) -> Input | None:
    if not method.takes_input:
        return None
    if given is None:
        raise Invalid([{"pointer": "/input", "detail": f"{method.name} explains an input; send an image or a tensor"}])
    return given
