"""How much work a method is, and how much may be taken at once, from what methods say they cost."""

from collections.abc import Iterator

from workers.method import Method

MAX_ROWS = 32
MAX_PASSES = 1000  # through the model, of all rows of a batch together: about ten seconds on two slow cores
PASS_S = 0.01  # a pass of one row, where none was measured yet


def share(method: Method) -> int:
    """How many rows of this method may share one batch: many of a cheap one, one of the dearest.

    A method without an input has no rows to share.
    """
    if not method.takes_input:
        return 1
    return max(1, min(MAX_ROWS, MAX_PASSES // max(1, method.passes())))


def cheaper(method: Method, prefix: str = "") -> Iterator[str]:
    """The parameters, also those of methods held ("of.steps"), that make the work less where they are smaller."""
    for name in type(method).model_fields:
        value = getattr(method, name)
        if isinstance(value, Method):
            yield from cheaper(value, f"{prefix}{name}.")
        elif type(value) is int and method.model_copy(update={name: value // 2}).passes() < method.passes():
            yield prefix + name
