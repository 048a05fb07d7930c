"""What a wrong name was meant to be: the one mechanism of every refusal of a name. Torch-free."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

LONGEST = 100  # letters of a name that are compared
COMPARED = 5000  # names that it is compared with
SHOWN = 100  # names that are listed where none is close


def meant(given: object, names: Iterable[str]) -> str:
    """`did you mean NAME?` for the closest name, whatever its case; else `there are: ...`, or `there are none`.

    Nothing of what was given is in it.
    """
    known = list(names)
    if not known:
        return "there are none"
    if (name := closest(given, known)) is not None:
        return f"did you mean {name}?"
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"there are: {', '.join(known[:SHOWN])}{more}"


def closest(given: object, names: Iterable[str]) -> str | None:
    """The name that is most like what was given; None where none is like it."""
    if not isinstance(given, str):
        return None
    by_plain = {name[:LONGEST].casefold(): name for name in islice(names, COMPARED)}
    found = difflib.get_close_matches(given[:LONGEST].casefold(), by_plain, 1)
    return by_plain[found[0]] if found else None
