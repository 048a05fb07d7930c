"""The instances of a call, in any protocol: read, submitted together as orders, and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray
from starlette.requests import Request

from service.deps import dependencies_of
from service.explanations.documents import Meta, path_of
from service.explanations.input import named_input, read_input
from service.explanations.orders import make_orders
from service.explanations.request_schema import MOST_COLUMNS, InputField
from service.explanations.requests import CheckedRequest, check_request, terms_of
from service.explanations.responses import raise_for_status
from service.explanations.waiting import while_connected
from service.http.bodies import Body
from service.http.errors import Expired, Invalid, NoWorker, StillRunning, moved
from service.http.json_text import check_fields
from service.http.threads import in_thread
from service.protocols.instance_fields import ONE_TEXT, field_of, wrong
from service.queue.events import News
from service.queue.queue import Queue
from service.queue.status import Status
from service.queue.storage import Input
from service.queue.submission import Order, Ticket
from service.render.side_by_side import names
from service.settings import Settings
from workers.contract import InputError, InputSpec, ModelCard, decode_npy

NAMES = ("data", "image", "image_bytes", "b64", "tensor", "text")


@dataclass(frozen=True, slots=True)
class Instance:
    """One row of a call, with a target of its own, in the words of the native API."""

    input: Input
    target: Any = "argmax"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished explanation; `array` is its kind's own, None where it has only a document.

    Of several inputs `named` has the array of each, and `array` is None.
    """

    meta: Meta
    array: NDArray[Any] | None
    named: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def numbers(self) -> Any:
        """The array, or those of several inputs by their names; None of what has only a document."""
        return self.named or self.array


def card_of(request: Request, name: str) -> ModelCard:
    """The model's card; raises UnknownModel, ModelLoading, ModelFailed, and NoWorker while there is no worker."""
    return dependencies_of(request).queue.models().card(name)


async def check_serving(request: Request) -> None:
    """Raises QueueUnavailable where Redis does not answer, NoWorker where no worker is alive."""
    queue = dependencies_of(request).queue
    await queue.ping()
    served = queue.models()
    if not served.workers:
        raise NoWorker(served.idle())


async def check_ready(request: Request) -> None:
    """As `check_serving`; raises ModelLoading where a model that the operator requires is not served."""
    await check_serving(request)
    deps = dependencies_of(request)
    deps.queue.models().check_required(deps.settings.required)


async def answers(
    request: Request, card: ModelCard, methods: Sequence[Any], instances: Sequence[Instance], until: float | None = None
) -> list[list[Answer]]:
    """For each instance its answer to each method (equal methods once), all submitted together.

    `until`: unix seconds by which the work must have started. Raises StillRunning where it takes longer than a
    compatibility call waits, InputError, Failed, Expired, ClientDisconnect.
    """
    deps = dependencies_of(request)
    wait, most = deps.settings.protocol_wait, deps.settings.most_explanations
    terms = replace(terms_of(request), recompute=False)
    if until is not None:
        terms = replace(terms, deadline=until)
    version = f"{card.name}@{card.digest}"  # whatever the name stands for by now
    body = Body({"model": version, "method": list(methods)})
    checked = await check_request(body, terms, deps.queue, deps.settings, deps.datasets)
    orders = await in_thread(lambda: _orders(checked, instances, most))
    with deps.queue.news([order.job.id for order in orders], ends=True) as news:
        tickets = await deps.queue.submit(orders, wait=wait)
        deps.metrics.count_explanations(ticket.outcome for ticket in tickets)
        if any(ticket.outcome != "hit" for ticket in tickets):
            await while_connected(request, _finished(deps.queue, tickets, wait, news))
    found = await asyncio.gather(*(_answer(deps.queue, order) for order in orders))
    width = len(checked.methods)
    return [list(found[start : start + width]) for start in range(0, len(found), width)]


def from_rows(rows: Any, card: ModelCard, settings: Settings, target: Any, where: str) -> list[Instance]:
    """An instance of each row; `target` is one for each, or one that holds where a row names none.

    Raises Invalid, InvalidImage, InvalidTensor, InputTooLarge.
    """
    if not isinstance(rows, list) or not 0 < len(rows) <= settings.most_explanations:
        raise wrong(where, f"a list of 1 to {settings.most_explanations} instances")
    each = zip(rows, _targets(target, len(rows)), strict=True)
    return [_instance(row, card, settings, own, f"{where}/{i}") for i, (row, own) in enumerate(each)]


def from_data(data: Any, card: ModelCard, settings: Settings, target: Any) -> tuple[list[Instance], bool]:
    """The instances of what may be one or a list of them, and whether it was a list.

    Bytes are one, and so are numbers nested as deep as the model's shape.
    """
    if isinstance(data, bytes) and len(card.inputs) < 2:
        found = read_input(None, data, card.only, settings)
        assert found is not None
        return [Instance(found, target)], False
    if isinstance(data, list) and (_depth(data) != len(card.only.shape) or isinstance(data[0], Mapping | str)):
        return from_rows(data, card, settings, target, "/data"), True
    return [_instance(data, card, settings, target, "/data")], False


def _orders(checked: CheckedRequest, instances: Sequence[Instance], most: int) -> list[Order]:
    if len(instances) * len(checked.methods) > most:
        raise Invalid([{"pointer": "", "detail": f"one call asks for at most {most} explanations; send several calls"}])
    return [
        order
        for index, instance in enumerate(instances)
        for order in _of_one(checked, instance, f"instance {index}: " if len(instances) > 1 else "")
    ]


def _of_one(checked: CheckedRequest, instance: Instance, prefix: str) -> list[Order]:
    """An order for each method; one target for all of them."""
    if isinstance(instance.target, list) or (isinstance(instance.target, dict) and "top_k" in instance.target):
        raise Invalid([{"pointer": "/target", "detail": f"{prefix}an instance has one target here"}])
    request = checked.request.model_copy(update={"target": instance.target})
    try:
        return make_orders(replace(checked, request=request), instance.input, len(checked.methods))
    except InputError as error:
        raise moved(error, None, prefix) from None


async def _finished(queue: Queue, tickets: Sequence[Ticket], wait: float, news: News) -> None:
    """Returns once all have succeeded; raises for the first that has not."""
    ids = list(dict.fromkeys(ticket.id for ticket in tickets if ticket.outcome != "hit"))
    all_open = all(ticket.open for ticket in tickets if ticket.outcome != "hit")
    statuses = await queue.wait(ids, wait, news if all_open else None)
    known = [status or Status(id=key, status="expired") for key, status in zip(ids, statuses, strict=True)]
    for status in known:
        if status.final and status.status != "succeeded":
            raise_for_status(status)
    late = [status for status in known if not status.final]
    if late:
        of = f"{len(late)} of the {len(ids)} explanations are" if len(ids) > 1 else "the explanation is"
        raise StillRunning(
            f"{of} still {late[0].status}; ask again with the same call, or read {path_of(late[0].id)}",
            path_of(late[0].id),
        )


async def _answer(queue: Queue, order: Order) -> Answer:
    found = await queue.read(order.job.id, order.job.method.kind)
    if found is None:
        raise Expired("the result is no longer stored; the same request makes it again")
    meta, (data,) = found
    several = names(meta)
    if not several:
        return Answer(meta, None if data is None else decode_npy(data))
    kind = order.job.method.kind
    held = await queue.read(order.job.id, *(f"{kind}.{name}" for name in several))
    arrays = [] if held is None else [one for one in held[1] if one is not None]
    if len(arrays) < len(several):
        raise Expired("the result is no longer stored; the same request makes it again")
    return Answer(meta, None, dict(zip(several, map(decode_npy, arrays), strict=True)))


def _instance(raw: Any, card: ModelCard, settings: Settings, target: Any, where: str) -> Instance:
    """An instance such as `[[0.1, ..]]`, `"<base64>"`, `{"b64": ..}` or `{"data": .., "target": 3}`.

    Of a model of several inputs an object of these by name, and a target if need be.
    """
    spec = card.only
    if len(card.inputs) > 1:
        return _of_several(raw, card, settings, target, where)
    if isinstance(raw, Mapping) and spec.kind == "table" and set(raw) & set(spec.names):
        own = target if "target" in spec.names else raw.get("target", target)
        row = raw if "target" in spec.names else {name: value for name, value in raw.items() if name != "target"}
        check_fields(row, where, MOST_COLUMNS)
        return Instance(_read(InputField(table=dict(row)), spec, settings, where), own)
    if isinstance(raw, Mapping) and "shape" not in raw:
        given = {name: one for name, one in raw.items() if one is not None}
        keys = [name for name in given if name != "target"]
        if len(keys) != 1 or keys[0] not in (*NAMES, *card.inputs):
            told = f"an instance is an object with one of {', '.join(NAMES)}, and a target if need be"
            raise wrong(where, ONE_TEXT if spec.kind == "text" else told)
        target = given.get("target", target)
        raw = {"b64": given["b64"]} if keys == ["b64"] else given[keys[0]]
    return Instance(_read(field_of(raw, spec, where), spec, settings, where), target)


def _read(field: InputField, spec: InputSpec, settings: Settings, where: str) -> Input:
    """The input of an instance; what is wrong with it is told with its place."""
    try:
        found = read_input(field, None, spec, settings)
    except InputError as error:
        raise moved(error, where) from None
    assert found is not None
    return found


def _of_several(raw: Any, card: ModelCard, settings: Settings, target: Any, where: str) -> Instance:
    if not isinstance(raw, Mapping):
        raise wrong(where, f"an instance is an object with {', '.join(card.inputs)}, and a target if need be")
    given = {name: one for name, one in raw.items() if one is not None and (name != "target" or name in card.inputs)}
    own = {
        name: field_of(one, card.inputs[name], f"{where}/{name}") for name, one in given.items() if name in card.inputs
    }
    unknown = {name: InputField(image="") for name in given if name not in card.inputs}  # refused by its name
    try:
        found = named_input({**own, **unknown}, {}, card, settings)
    except InputError as error:
        name = "/".join((error.pointer or "").removeprefix("/inputs").split("/")[:2])
        raise moved(error, where + name) from None
    return Instance(found, target if "target" in card.inputs else raw.get("target", target))


def _targets(raw: Any, count: int) -> list[Any]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return ["argmax" if raw is None else raw] * count
    if len(raw) != count:
        detail = f"a list of targets has one for each instance: there are {count} instances and {len(raw)} targets"
        raise wrong("/target", detail)
    return ["argmax" if one is None else one for one in raw]


def _depth(data: Any) -> int:
    depth = 0
    while isinstance(data, list) and data:
        data, depth = data[0], depth + 1
    return depth
