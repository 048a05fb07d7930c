"""A serialised graph is text, and torch's reader evaluates parts of it: only what the writer writes is let through.

Symbolic sizes go through sympy, which evaluates Python; names become source code of the graph's module; a tree
specification may import any module; guards are compiled. So each of these is held to its own narrow form.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from workers.errors import InvalidFolder

MAX_EXPRESSION = 10_000
IDENTIFIER = re.compile(r"\w*")
QUALIFIED = re.compile(r"[^\"'\\\n\r{}]*")
OPERATOR = re.compile(r"(torch\.(ops(\.\w+){2,3}|sym_\w+|_sym_\w+)|_operator\.\w+|math\.\w+)")
CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
ARITHMETIC = (
    ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare,
    ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip


def check_program(program: Any, where: str) -> Any:
    """The program less its guards, which would be compiled; raises InvalidFolder, naming the text that is refused."""
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise InvalidFolder(f"{where}: its entry models/model.json has no graph")
    for key, text in _texts(program):
        if key in _FORMS and not _FORMS[key](text):
            raise InvalidFolder(
                f"{where}: the graph's {key} {text[:80]!r} is none that torch.export writes; it could be run as code"
            )
    return {**program, "guards_code": []}


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every string of the program, with the key that it stands under."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        key, item = waiting.pop()
        if isinstance(item, str):
            yield key, item
        elif isinstance(item, dict):
            waiting.extend((str(k), v) for k, v in item.items())
        elif isinstance(item, list):
            waiting.extend((key, v) for v in item)


def _expression(text: str) -> bool:
    """Arithmetic over symbols: calls of capitalised names; strings only to name a symbol, for others are evaluated."""
    if len(text) > MAX_EXPRESSION:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if not all(isinstance(node, ARITHMETIC) for node in nodes):
        return False
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    names = [call.func.id if isinstance(call.func, ast.Name) else "" for call in calls]
    symbols = [call.args[0] for call, name in zip(calls, names, strict=True) if name == "Symbol" and call.args]
    strings = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)]
    return all(name[:1].isupper() for name in names) and all(
        node in symbols and isinstance(node.value, str) and node.value.isidentifier() for node in strings
    )


def _tree(text: str) -> bool:
    """A tree of plain containers, which needs no import to rebuild."""
    try:
        _, spec = json.loads(text)
        waiting = [spec]
        while waiting:
            node = waiting.pop()
            if node["type"] not in CONTAINERS or "__enum__" in str(node["context"]):
                return False
            waiting.extend(node["children_spec"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return True


def _matches(form: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: form.fullmatch(text) is not None


_FORMS: dict[str, Callable[[str], bool]] = {
    "expr_str": _expression,
    "in_spec": _tree,
    "out_spec": _tree,
    "target": _matches(OPERATOR),
    "as_operator": _matches(OPERATOR),
    **dict.fromkeys(("name", "as_name", "forward_arg_names"), _matches(IDENTIFIER)),
    **dict.fromkeys(("fqn", "class_fqn", "parameter_name", "buffer_name"), _matches(QUALIFIED)),
    **dict.fromkeys(("tensor_constant_name", "custom_obj_name", "user_input_name"), _matches(QUALIFIED)),
}
