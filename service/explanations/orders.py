"""The orders of a request: one for each method and target, on the terms that its headers name."""

from collections.abc import Sequence

from service.explanations.requests import CheckedRequest
from service.http.errors import Invalid
from service.http.threads import in_thread
from service.queue.queue import Queue
from service.queue.storage import Input
from service.queue.submission import Order
from workers.contract import (
    Classes,
    InvalidImage,
    InvalidTensor,
    InvalidText,
    Job,
    Method,
    MethodNotApplicable,
    ModelCard,
    Target,
    UnknownInput,
    classes_in,
    own_inputs,
    parse_method,
    parse_targets,
)


async def orders_of(checked: CheckedRequest, queue: Queue, most: int) -> list[Order]:
    """The orders of a request, at most so many.

    Raises UnknownInput where its input is named by a digest that is not stored, and what `make_orders` raises.
    """
    given = checked.input or await _stored_input(checked, queue)
    return await in_thread(lambda: make_orders(checked, given, most), None if checked.request.many else checked.size)


def make_orders(checked: CheckedRequest, given: Input | None, most: int) -> list[Order]:
    """An order for each method and target; `given` is the input, found by digest where its bytes were not sent."""
    aimed = any(method.takes_target for method in checked.methods) or checked.request.target != "argmax"
    targets = parse_targets(checked.request.target, checked.card) if aimed else []
    for method in checked.methods:
        _check_support(method, targets, checked.card)
    if sum(len(targets) if method.takes_target else 1 for method in checked.methods) > most:
        raise Invalid([{"pointer": "", "detail": f"one request asks for at most {most} explanations"}])
    jobs = [
        (
            Job(
                model=checked.card.digest,
                input=taken.digest if taken else None,
                target=target,
                method=method,
                precision=method.computed_in(checked.precision),
                classes=classes,
            ),
            taken,
        )
        for method in checked.methods
        for classes in [_classes(method, checked)]
        for taken in [_input_of(method, given, checked.card)]
        for target in (targets if method.takes_target else [None])
    ]
    terms = checked.terms
    of_all = (terms.deadline, terms.request_id, terms.recompute, terms.caller, terms.priority)
    passes = {method: method.passes(checked.extent) for method in checked.methods}
    given_to = {one: tuple(checked.given[digest] for digest in own_inputs(one)) for one in checked.methods}
    orders = [
        Order(job, checked.card.name, taken, *of_all, passes=passes[job.method], given=given_to[job.method])
        for job, taken in jobs
    ]
    for order in orders:
        order.job.prepare()
    return orders


async def _stored_input(checked: CheckedRequest, queue: Queue) -> Input | None:
    """The input that the request names by its digest; None where it names none. Raises UnknownInput, InvalidImage."""
    digest, at = checked.request.input.digest if checked.request.input else None, "/input/digest"
    if digest is None:
        return None
    kind = await queue.find_input(digest)
    if kind is None:
        raise UnknownInput("no input of this digest is stored; send its bytes", pointer=at)
    card = checked.card
    if (kind == "inputs") != (len(card.inputs) > 1):
        takes = f"the inputs {', '.join(card.inputs)}" if card.inputs else "one input"
        raise InvalidTensor(f"the digest is of another number of inputs; the model takes {takes}", pointer=at)
    if kind == "image" and card.only.kind != "image":
        raise InvalidImage("the digest is that of an image, and the model takes a tensor", pointer=at)
    if (kind == "text") and card.only.kind != "text":
        raise InvalidText("the digest is that of a text, and the model takes none", pointer=at)
    return Input(digest, kind)


def _check_support(method: Method, targets: Sequence[Target], card: ModelCard) -> None:
    """Refuse at once what the card says of default parameters and the model's output; workers decide the rest."""
    support = card.support_of(method.name)
    of_output = all(target.kind != "unit" for target in targets) or not method.takes_target
    if support is not None and not support.supported and of_output and method == parse_method(method.name):
        why = f"{method.name} cannot explain {card.name}: {support.reason}"
        raise MethodNotApplicable(why, pointer="/method", alternatives=support.alternatives)


def _classes(method: Method, checked: CheckedRequest) -> Classes:
    named = checked.dataset_classes
    return classes_in(method, named.__getitem__, checked.card, checked.others) if named else {}


def _input_of(method: Method, given: Input | None, card: ModelCard) -> Input | None:
    if not method.takes_input:
        return None
    if given is None:
        pointer = "/inputs" if len(card.named) > 1 else "/input"
        raise Invalid([{"pointer": pointer, "detail": f"{method.name} explains an input; send {_wanted(card)}"}])
    return given


def _wanted(card: ModelCard) -> str:
    """What a client is to send for this model."""
    if len(card.named) > 1:
        return f"inputs: {', '.join(card.named)}"
    forms = {"image": "an image or a tensor", "text": "a text", "table": "a row as `table`, or a tensor"}
    return forms.get(card.only.kind, "a tensor")
