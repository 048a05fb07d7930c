"""How much work may be taken at once, from what its methods say they cost."""

from workers.method import Method

MAX_ROWS = 32
MAX_PASSES = 1000  # through the model, of all rows of a batch together: about ten seconds on two slow cores


def share(method: Method) -> int:
    """How many rows of this method may share one batch: many of a cheap one, one of the dearest.

    A method without an input has no rows to share.
    """
    if not method.takes_input:
        return 1
    return max(1, min(MAX_ROWS, MAX_PASSES // max(1, method.passes())))
