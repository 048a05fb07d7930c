"""The tree of a program's inputs or outputs, as torch.utils._pytree writes it: of plain containers alone.

torch imports the module that such a text names; here it is parsed, and written anew from what was understood.
"""

from __future__ import annotations

import json
from typing import Any

MAX_TEXT = 1_000_000
MAX_DEPTH = 50
SEQUENCES = ("builtins.tuple", "builtins.list")
MAPPINGS = ("builtins.dict", "collections.OrderedDict")


def normal_tree(text: str) -> str:
    """The same tree in a text of our own; raises ValueError for what is no tree of tuples, lists and dicts."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"it is longer than {MAX_TEXT} characters")
    try:
        protocol, tree = json.loads(text)
        if protocol != 1 or isinstance(protocol, bool):
            raise ValueError("its protocol is not 1")
        return json.dumps([1, _normal(tree, 0)])
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"it is no tree ({type(error).__name__})") from None


def _normal(node: dict[str, Any], depth: int) -> dict[str, Any]:
    kind, context, children = node["type"], node["context"], node["children_spec"]
    if depth > MAX_DEPTH or not isinstance(children, list):
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if kind is None and context is None and not children:
        return {"type": None, "context": None, "children_spec": []}
    if kind in MAPPINGS:
        keys = json.loads(context)
        if not isinstance(keys, list) or len(keys) != len(children) or not all(isinstance(k, str | int) for k in keys):
            raise ValueError("the keys of a dict in it are no list of texts and whole numbers")
        context = json.dumps(keys)
    elif kind in SEQUENCES and context == "null":
        pass
    else:
        raise ValueError("a container in it is no tuple, list or dict")
    return {"type": kind, "context": context, "children_spec": [_normal(child, depth + 1) for child in children]}
