"""Inputs that methods have in their parameters: a baseline, a fill, a shift of one's own, sent as any input is.

In the method there is the digest of each in place of what was sent; the bytes go along, to be kept beside the input's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import ValidationError

from service.explanations.input import named_input, read_input
from service.explanations.request_schema import InputField
from service.http.errors import Invalid, moved
from service.http.json_text import DEEPEST
from service.http.pointers import pointers
from service.queue.queue import Queue
from service.queue.storage import Input
from service.settings import Settings
from workers.contract import InputError, Method, ModelCard, UnknownInput, own_inputs

FIELDS = ("baseline", "fill", "other", "shift", "wanted")  # of methods, that an input of one's own may be
SENT = frozenset({"image", "tensor", "table", "text", "inputs"})


Read: TypeAlias = Callable[[Mapping[str, Any], str], str]  # of an input that was sent, and where: its digest


def reading(card: ModelCard, settings: Settings, kept: dict[str, Input]) -> Read:
    """Adds what it reads to `kept`, by digest."""

    def read(raw: Mapping[str, Any], at: str) -> str:
        given = _read(raw, card, settings, at)
        kept[given.digest] = given
        return given.digest

    return read


def unread(_: Mapping[str, Any], __: str) -> str:
    """In place of reading, to count what a method holds beside its inputs."""
    return ""


def taken(raw: Any, read: Read, pointer: str, depth: int = 0) -> Any:
    """A method as JSON with the digest of each input that was sent in it.

    Raises Invalid, and what reading an input raises, pointing into the method.
    """
    if depth > DEEPEST:
        return raw  # which is refused for that
    if isinstance(raw, list):
        inside = [taken(one, read, f"{pointer}/{at}", depth + 1) for at, one in enumerate(raw)]
        return inside if any(isinstance(one, dict | list) for one in raw) else raw
    if not isinstance(raw, dict):
        return raw
    found = {}
    for name, one in raw.items():
        at = f"{pointer}/{name}"
        if name in FIELDS and isinstance(one, dict) and len(one) == 1 and SENT & one.keys():
            found[name] = {"digest": read(one, at)}
        else:
            found[name] = taken(one, read, at, depth + 1)
    return found


def _read(raw: Mapping[str, Any], card: ModelCard, settings: Settings, at: str) -> Input:
    several = raw.get("inputs")
    if several is None and len(card.inputs) > 1:
        raise Invalid([{"pointer": at, "detail": f"the model takes {', '.join(card.inputs)}: give {{inputs}} by name"}])
    try:
        if isinstance(several, Mapping):
            fields = {name: InputField.model_validate(one) for name, one in several.items()}
            return named_input(fields, {}, card, settings)
        found = read_input(InputField.model_validate(raw), None, card.only, settings, at)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        raise Invalid(pointers(errors, at, raw if several is None else None, InputField)) from None
    except Invalid:
        raise
    except InputError as error:
        raise moved(error, error.pointer if error.pointer and error.pointer.startswith(at) else at) from None
    assert found is not None
    return found


async def given_inputs(methods: Sequence[Method], sent: Mapping[str, Input], queue: Queue) -> dict[str, Input]:
    """Those of all the methods by digest, those that were sent with their bytes.

    Raises UnknownInput for one that was named by a digest and is not stored.
    """
    found = dict(sent)
    for method in methods:
        for digest, at in own_inputs(method).items():
            if digest in found:
                continue
            kind = await queue.find_input(digest)
            if kind is None:
                raise UnknownInput("no input of this digest is stored; send its bytes", pointer=at)
            found[digest] = Input(digest, kind)
    return found
