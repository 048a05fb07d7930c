"""What to ask where a method is refused: of what its refusal advises, and of other methods, what the model supports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import ValidationError

from workers.engine.model.function import Function
from workers.explanation.errors import ANY_FUNCTION, ExplainError, Instead, MethodNotApplicable, methods
from workers.explanation.request_target import parse_targets
from workers.explanation.target import Target
from workers.methods.blame import blamed, located
from workers.methods.catalogue import catalogue, parse_method
from workers.methods.method import Method

MOST = 4  # alternatives that are told


def refuse(model: Function, method: Method) -> None:
    """As methods refuse, those first that it holds."""
    for held in method.inner():
        refuse(model, held)
    with blamed(method):
        method.check_needs(model)
        method.check_inputs(model)
        method.check_walk(model)
        method.refuse(model)


def advised(error: ExplainError, model: Function, method: Method, target: Target | None) -> ExplainError:
    """The error with what the model does support of the advice that it has, or else of other methods of its kind.

    Its pointer names the field of the request, be it of a method that is held.
    """
    located(error, method)
    if error.alternatives:
        return error
    asked = _Asked(model, method, target)
    refused = asked.refused(error)
    found = _first(asked.instead(refused, error.instead), asked.instead([method], error.instead))
    if not found and isinstance(error, MethodNotApplicable):
        found = _first(*(asked.instead(each, _alike(each[0])) for each in (refused, [method])))
    if not found:
        return error
    kept = {json.dumps(one.request): one for one in reversed(found)}
    told = list(reversed(kept.values()))
    verb = "works" if len(told) == 1 and " and " not in told[0].phrase else "work"
    where = f"{verb} here" if told[0].place is None else f"{verb} here in place of {told[0].place}"
    return type(error)(
        f"{error.detail.rstrip('.')}; {joined([one.phrase for one in told])} {where}",
        pointer=error.pointer,
        alternatives=[one.request for one in told],
    )


def joined(phrases: Sequence[str]) -> str:
    """The phrases as a list of words."""
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last


@dataclass(frozen=True)
class _Alternative:
    """What works: in words, as a part of a request, and the held methods that it replaces."""

    phrase: str
    request: Mapping[str, Any]
    place: str | None = None


@dataclass(frozen=True)
class _Asked:
    """A request that was refused."""

    model: Function
    method: Method
    target: Target | None

    def refused(self, error: ExplainError) -> list[Method]:
        """The methods held that are refused themselves, the first for this reason; else the method alone."""
        found = [one for one in _innermost(self.method) if not self.holds(one)]
        ours = [one for one in found if self.reason(one) == error.detail]
        return [*ours, *(one for one in found if one not in ours)] if ours else [self.method]

    def holds(self, method: Method, target: Target | None = None) -> bool:
        """Whether the model supports the method, for a target or the one asked for."""
        try:
            refuse(self.model.towards(target or self.target), method)
        except ExplainError:
            return False
        return True

    def reason(self, method: Method) -> str | None:
        try:
            refuse(self.model.towards(self.target), method)
        except ExplainError as error:
            return error.detail
        return None

    def instead(self, refused: Sequence[Method], advice: Iterable[Instead]) -> Iterator[_Alternative]:
        """What the model supports of the advice, put in place of the methods refused."""
        whole = refused[0] is self.method
        working: list[tuple[Instead, Method]] = []
        for one in advice:
            if one.target is not None:
                yield from self._aimed(one.target)
            elif (
                (other := _configured(refused[0], one)) is not None and not _asks_for_data(other) and self.holds(other)
            ):
                # what is read at another place is no explanation of the input, which those that hold methods judge
                working += [(one, other)] if whole or not {"to", "layer"} & one.parameters.keys() else []
        for turn in range(len(working) if len(refused) == 1 else 1):
            options = working[turn:] + working[:turn]
            taken = list(zip(refused, options, strict=False))
            asked = self._replaced({id(old): new for old, (_, new) in taken})
            if asked is not None and len(taken) == len(refused) and asked != self.method and self.holds(asked):
                phrase = joined([_phrase(chosen) for _, (chosen, _) in taken])
                place = None if whole else joined([old.name for old in refused])
                aim = self._aim_of(asked)
                yield _Alternative(
                    (phrase if whole or len(taken) == 1 else f"({phrase})")
                    + "".join(f" of {json.dumps(t)}" for t in aim),
                    {"method": short(asked), **({"target": aim[0]} if aim else {})},
                    place,
                )

    def _aim_of(self, asked: Method) -> list[Any]:
        """The target, as clients write it, that what makes an input up needs and the request has not: one, or none."""
        if asked.takes_input or not asked.takes_target or self.method.takes_target:
            return []
        for raw in (0, "value", {"reduce": "sum"}):
            try:
                if self.holds(asked, parse_targets(raw, self.model.card)[0]):
                    return [raw]
            except ExplainError:
                continue
        return []

    def _aimed(self, raw: Any) -> Iterator[_Alternative]:
        try:
            target = parse_targets(raw, self.model.card)[0]
        except ExplainError:
            return
        if self.holds(self.method, target):
            yield _Alternative(f"the target {json.dumps(raw)}", {"target": raw})

    def _replaced(self, new: Mapping[int, Method]) -> Method | None:
        try:
            return _replaced(self.method, new)
        except ValidationError:
            return None


def _first(*sources: Iterator[_Alternative]) -> list[_Alternative]:
    """The alternatives of the first source that has any."""
    return next((found for source in sources if (found := list(islice(source, MOST)))), [])


def _innermost(method: Method) -> list[Method]:
    """The methods held that hold none."""
    return [deep for held in method.inner() for deep in (_innermost(held) or [held])]


def _configured(refused: Method, advice: Instead) -> Method | None:
    base = {"name": advice.method} if advice.method else refused.to_json()
    try:
        return parse_method({**base, **advice.parameters})
    except (ExplainError, ValidationError):
        return None


def _asks_for_data(method: Method) -> bool:
    """Whether it looks at a dataset, which may not be here."""
    return "dataset" in method.needs or any(map(_asks_for_data, method.inner()))


def _phrase(advice: Instead) -> str:
    parameters = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in advice.parameters.items())
    return f"{advice.method} with {parameters}" if advice.method and parameters else advice.method or parameters


def _alike(method: Method) -> tuple[Instead, ...]:
    """Methods of the same family that give the same kind of thing; then the general ones."""
    family = [
        name
        for name, kind in catalogue().items()
        if (kind.kind, kind.family, kind.takes_input) == (method.kind, method.family, method.takes_input)
        and kind is not type(method)
    ]
    return (*methods(*family), *ANY_FUNCTION)


def _replaced(method: Method, new: Mapping[int, Method]) -> Method:
    """The method with others where it is, or holds, those of these identities."""
    if id(method) in new:
        return new[id(method)]

    def inside(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(inside(one) for one in value)
        return _replaced(value, new) if isinstance(value, Method) else value

    fields = {name: getattr(method, name) for name in type(method).model_fields}
    return type(method).model_validate({name: inside(value) for name, value in fields.items()})


def short(method: Method) -> dict[str, Any]:
    """The method as a client would write it, defaults left out."""
    try:
        usual = parse_method(method.name).to_json()
    except ValidationError:
        usual = {}
    held = {name: value for name, value in method.to_json().items() if name != "name" and usual.get(name) != value}
    return {"name": method.name, **{name: _shortened(getattr(method, name), value) for name, value in held.items()}}


def _shortened(value: Any, written: Any) -> Any:
    if isinstance(value, Method):
        return short(value)
    if isinstance(value, tuple) and any(isinstance(one, Method) for one in value):
        return [_shortened(one, raw) for one, raw in zip(value, written, strict=True)]
    return written
