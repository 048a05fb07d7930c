"""The catalogue: every method there is, found in the folders of `methods/`: a file or a folder each."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workers import methods
from workers.methods.method import AnyMethod, Method, method_type, parse_method

SHARED = ("fields", "nested")  # what methods of several families share; every other folder is a family of methods


@cache
def catalogue() -> dict[str, type[Method]]:
    """Method classes by API name, in the order of family and name."""
    found: dict[str, type[Method]] = {}
    for room in pkgutil.iter_modules(methods.__path__):
        if room.ispkg and room.name not in SHARED:
            family = importlib.import_module(f"{methods.__name__}.{room.name}")
            for one in pkgutil.iter_modules(family.__path__):
                importlib.import_module(f"{family.__name__}.{one.name}")
                found[one.name] = method_type(one.name)
    return found


catalogue()  # whoever can name a method here can parse one: all are known from the first import on

__all__ = ["AnyMethod", "catalogue", "parse_method"]
