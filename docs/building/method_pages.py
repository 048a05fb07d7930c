"""One page a method: what its file says, around the formula and the warning in docs/methods/NAME.md."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from workers.contract import Method, catalogue, parse_method

MISLEADS = "## When it misleads"
PLACES = re.compile(r",? l\.\d+(ff)?")  # lines of a text that readers do not have
NEEDS = {"gradients": "its gradients", "graph": "its graph", "layer": "a layer with places", "dataset": "a dataset"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Sphinx calls it by this name."""
    app.connect("source-read", _complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _complete(app: Sphinx, docname: str, source: list[str]) -> None:
    name = docname.removeprefix("methods/")
    if docname == "methods/index":
        source[0] += index()
    elif docname != name:
        source[0] = page(catalogue()[name], source[0], Path(app.srcdir) / "pictures" / "methods" / f"{name}.png")


def index() -> str:
    """The methods by family, each with its question."""
    lines = []
    for family, members in groupby(catalogue().items(), key=lambda item: item[1].family):
        methods = list(members)
        lines += [f"\n## {family}\n", "| method | answers | costs |", "|---|---|---|"]
        lines += [f"| [{name}]({name}.md) | {method.question} | {method.cost} |" for name, method in methods]
        lines += ["\n```{toctree}\n:hidden:\n:caption: " + family, *[name for name, _ in methods], "```"]
    return "\n".join([*lines, ""])


def page(method: type[Method], fragment: str, picture: Path) -> str:
    """The whole page of a method in Markdown; `fragment` is its title, its formula and when it misleads."""
    title, _, rest = fragment.partition("\n")
    formula, _, misleads = rest.partition(MISLEADS)
    said, _, details = re.sub(r"\n[ \t]+", "\n", PLACES.sub("", method.__doc__ or "")).strip().partition("\n\n")
    shown = f"![What it shows](../pictures/methods/{picture.name})" if picture.exists() else ""
    parts = [title, f"**{method.question}**", said, formula.strip(), details, _facts(method), shown]
    parts += [
        _ask(picture.stem, method) if shown else "",
        "## Parameters",
        _parameters(method),
        MISLEADS,
        misleads.strip(),
        "## Source",
        _cited(method),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _ask(name: str, method: type[Method]) -> str:
    """A line that asks for it, where an input is all that it needs."""
    required = [field for field in method.model_fields.values() if field.is_required()]
    if not method.takes_input or required or _looks_at_data(parse_method(name)):
        return ""
    return f"```console\n$ whence explain examples/4.png --model digits --method {name}\n```"


def _looks_at_data(method: Method) -> bool:
    return "dataset" in method.needs or any(_looks_at_data(held) for held in method.inner())


def _cited(method: type[Method]) -> str:
    return f"{method.citation}. S0 to S4 stand for [these texts](../sources.md)."


def _facts(method: type[Method]) -> str:
    needs = ", ".join(NEEDS[need] for need in sorted(method.needs)) or "nothing but its scores"
    takes = [word for word, does in (("an input", method.takes_input), ("a target", method.takes_target)) if does]
    rows = [
        ("family", method.family),
        ("result", method.kind),
        ("asks for", " and ".join(takes) or "a dataset"),
        ("needs of the model", needs),
        ("cost", method.cost),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])


def _parameters(method: type[Method]) -> str:
    schema = method.model_json_schema()
    definitions, required = schema.get("$defs", {}), schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        if name == "name":
            continue
        default = "required" if name in required else f"`{field['default']}`" if "default" in field else ""
        cells = (f"`{name}`", default, f"{field.get('description', '')} *{_kind(field, definitions)}*".strip())
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    if not rows:
        return "None."
    return "\n".join(["| name | default | means |", "|---|---|---|", *rows])


def _kind(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a value of this JSON Schema is, in words."""
    if "$ref" in field:
        return _kind(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if field.get("title") == "Method" and "anyOf" in field:
        return "a method"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in field:
            kinds = dict.fromkeys(_kind(one, definitions) for one in field[several])
            return " or ".join(kind for kind in kinds if kind != "null")
    if "enum" in field or "const" in field:
        return ", ".join(str(value) for value in field.get("enum", [field.get("const")]))
    kind = str(field.get("type", "any value"))
    if kind == "array":
        inner = field.get("items")
        return f"list of {_kind(inner, definitions)}" if inner else "list"
    return f"{kind}{_range(field)}"


def _range(field: dict[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{word} {field[key]:g}" for key, word in words.items() if key in field and abs(field[key]) < 2**53]
    return f", {', '.join(said)}" if said else ""
