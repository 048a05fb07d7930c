"""Which method of those that hold each other an error is about: its pointer is to name the field that was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from workers.explanation.errors import ExplainError

Method: TypeAlias = Any  # which is made of this
E = TypeVar("E", bound=ExplainError)
ROOT = "/method"
UNSEEN = "collection"  # clients ask for the method that it holds


@contextmanager
def blamed(method: Method) -> Iterator[None]:
    """What is raised here is about this method, unless it is about one that it asked."""
    try:
        yield
    except ExplainError as error:
        error.about = error.about or method
        raise


def blaming(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb of a method, with what it raises told to be about the method."""

    @wraps(verb)
    def asked(method: Method, *given: Any) -> Any:
        with blamed(method):
            return verb(method, *given)

    return asked


def located(error: E, method: Method) -> E:
    """The error with its pointer in a request for `method`, which may hold the method that it is about."""
    about, error.about = error.about, None
    steps = _steps(method, about)
    if steps and error.pointer and error.pointer.startswith(f"{ROOT}/"):
        error.pointer = ROOT + steps + error.pointer.removeprefix(ROOT)
    return error


def _steps(method: Method, wanted: object) -> str | None:
    """The way from a method to one that it holds, as a part of a JSON pointer; None where it does not hold it."""
    if method == wanted:
        return ""
    for name in type(method).model_fields:
        value = getattr(method, name)
        held = (
            {f"/{name}/{at}": one for at, one in enumerate(value)} if isinstance(value, tuple) else {f"/{name}": value}
        )
        for step, one in held.items():
            if one in method.inner() and (rest := _steps(one, wanted)) is not None:
                return ("" if method.name == UNSEEN else step) + rest
    return None
