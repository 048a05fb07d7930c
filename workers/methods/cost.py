"""How much work a method is, and how much may be taken at once, from what methods say they cost."""

from collections.abc import Iterator

from workers.methods.extent import Extent
from workers.methods.method import Method

MAX_ROWS = 32
MAX_PASSES = 1000  # through the model, of all rows of a batch together: about ten seconds on two slow cores
PASS_S = 0.01  # a pass of one row, where none was measured yet


def passes(method: Method, known: int = 0) -> int:
    """The passes that a job is known to take; else, of a model that is not known, about how many."""
    return max(1, known or method.passes(Extent()))


def rows_per_batch(method: Method, known: int = 0) -> int:
    """How many rows of this method may share one batch: many of a cheap one, one of the dearest.

    A method without an input has no rows to share. `known` are the passes of one row, where they are known.
    """
    if not method.takes_input:
        return 1
    return max(1, min(MAX_ROWS, MAX_PASSES // passes(method, known)))


def cheaper(method: Method, at: Extent, prefix: str = "") -> Iterator[str]:
    """What makes the work less: "smaller samples", "larger stride"; also of methods held ("smaller of.steps")."""
    own = method.passes(at)
    for name in type(method).model_fields:
        value = getattr(method, name)
        if isinstance(value, Method):
            yield from cheaper(value, at, f"{prefix}{name}.")
        elif type(value) is int:
            for word, other in (("smaller", value // 2), ("larger", 2 * value)):
                if other and method.model_copy(update={name: other}).passes(at) < own:
                    yield f"{word} {prefix}{name}"
