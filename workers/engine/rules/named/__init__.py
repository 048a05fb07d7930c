"""Rules that a composite names; each stands with its kind of entry. Torch-free to import."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workers.engine.rules.entry import Entry


@cache
def entries() -> dict[str, type[Entry]]:
    """The kinds of entry by the name of their rule, found in this folder, in the order of the files."""
    for one in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{one.name}")
    return {kind.model_fields["rule"].default: kind for kind in Entry.__subclasses__()}
