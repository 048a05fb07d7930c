"""The catalogue: every method there is, found by walking the folder `methods/`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workers import methods
from workers.method import AnyMethod, Method, method_type, parse_method


@cache
def catalogue() -> dict[str, type[Method]]:
    """Method classes by API name, in the order of family and name."""
    found: dict[str, type[Method]] = {}
    for module in pkgutil.walk_packages(methods.__path__, methods.__name__ + "."):
        if not module.ispkg:
            importlib.import_module(module.name)
            stem = module.name.rpartition(".")[2]
            found[stem] = method_type(stem)
    return found


catalogue()  # whoever can name a method here can parse one: all are known from the first import on

__all__ = ["AnyMethod", "catalogue", "parse_method"]
