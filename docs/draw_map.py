"""Draws the rooms as docs/pictures/map.svg, and counts imports that point up or lead back. Use: make map"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = Path(__file__).parent / "pictures" / "map.svg"
ROOTS = ("service", "whence", "workers")
DOOR = "workers.contract"

BOX_HEIGHT, ROW, COLUMN, GAP, MARGIN, TOP = 62, 92, 500, 110, 24, 66
INK, FAINT, LINE = "#202024", "#62626c", "#8a8a96"
FILLS = {"service": "#e8f0fa", "workers": "#f9efe3"}
WIDTH, CHARACTER = 2 * COLUMN + GAP + 2 * MARGIN, 6.3


@dataclass(frozen=True)
class Box:
    """A room, and where it is drawn, in pixels."""

    room: str
    x: float
    y: float
    width: float


def graph() -> grimp.ImportGraph:
    """All imports, those of types too."""
    return grimp.build_graph(*ROOTS, exclude_type_checking_imports=False, cache_dir=None)


def layers(half: str) -> list[list[str]]:
    """The rooms of a half from the top down, those of one layer together, as pyproject.toml has them."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in tool["contracts"] if one["id"] == f"{half}-one-way")
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def circles(found: grimp.ImportGraph) -> set[tuple[str, ...]]:
    """Chains of imports that lead back to where they began."""
    return {
        chain
        for module in found.modules
        for imported in found.find_modules_directly_imported_by(module)
        if (chain := found.find_shortest_chain(importer=imported, imported=module))
    }


def arrows_up(found: grimp.ImportGraph, half: str) -> set[tuple[str, str]]:
    """Imports from a room to another that is no lower."""
    rank = {room: level for level, rooms in enumerate(layers(half)) for room in rooms}
    up = set()
    for module, imported in imports(found):
        here, there = room_of(module, rank), room_of(imported, rank)
        if here and there and here != there and rank[there] <= rank[here]:
            up.add((module, imported))
    return up


def imports(found: grimp.ImportGraph) -> Iterator[tuple[str, str]]:
    for module in sorted(found.modules):
        for imported in sorted(found.find_modules_directly_imported_by(module)):
            yield module, imported


def room_of(module: str, rooms: Any) -> str | None:
    return next((room for room in rooms if module == room or module.startswith(f"{room}.")), None)


def needed(found: grimp.ImportGraph, rooms: Sequence[str]) -> set[tuple[str, str]]:
    """Which room imports which, without the arrows that follow from others."""
    direct = {(room_of(one, rooms), room_of(other, rooms)) for one, other in imports(found)}
    edges = {(one, other) for one, other in direct if one and other and one != other}
    reach = set(edges)
    while longer := {(a, d) for a, b in reach for c, d in edges if b == c} - reach:
        reach |= longer
    return {(a, b) for a, b in edges if not any((a, c) in edges and (c, b) in reach for c in rooms)}


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    path = ROOT.joinpath(*room.split("."))
    text = ast.get_docstring(
        ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    )
    return (text or "").partition("\n")[0]


def boxes(half: str, x: float) -> list[Box]:
    found = []
    for level, rooms in enumerate(layers(half)):
        width = (COLUMN - 14 * (len(rooms) - 1)) / len(rooms)
        found += [Box(room, x + i * (width + 14), TOP + level * ROW, width) for i, room in enumerate(rooms)]
    return found


def fitted(text: str, width: int) -> list[str]:
    """At most two lines of so many characters: the whole text, or what stands before its first colon."""
    whole = wrap(text, width)
    if len(whole) <= 2:
        return whole
    return [line.rstrip(" ,") for line in wrap(re.split("[:;]", text)[0], width)[:2]]


def drawn_box(box: Box) -> str:
    half = box.room.partition(".")[0]
    name = box.room.removeprefix(f"{half}.")
    name = f"{name}/" if ROOT.joinpath(*box.room.split(".")).is_dir() else f"{name}.py"
    about = fitted(purpose(box.room).replace("`", ""), int(box.width / CHARACTER))
    lines = [f'<text x="{box.x + 12:g}" y="{box.y + 20:g}" font-weight="600" fill="{INK}">{escape(name)}</text>']
    lines += [
        f'<text x="{box.x + 12:g}" y="{box.y + 37 + 15 * i:g}" font-size="11.5" fill="{FAINT}">{escape(line)}</text>'
        for i, line in enumerate(about)
    ]
    shape = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{BOX_HEIGHT}" rx="6"'
    return "\n".join([f'<rect {shape} fill="{FILLS[half]}" stroke="{LINE}"/>', *lines])


def drawn_arrow(one: Box, other: Box, outside: int) -> str:
    """From a room down to one that it imports; past other layers along the outside, to the left (-1) or right (1)."""
    if other.y - one.y <= ROW:
        start, end = one.x + one.width / 2, other.x + other.width / 2
        near = min(max(start, other.x + 16), other.x + other.width - 16) if other.width > one.width else end
        start = near if one.x < near < one.x + one.width else start
        path = f"M{start:g},{one.y + BOX_HEIGHT:g} L{near:g},{other.y - 3:g}"
    else:
        edge = max if outside > 0 else min
        side = edge(one.x, one.x + one.width), edge(other.x, other.x + other.width)
        out = edge(side) + outside * (12 + 9 * (other.y - one.y) / ROW)
        if side[0] == edge(side):
            y = one.y + BOX_HEIGHT / 2 + 8
            path = f"M{side[0]:g},{y:g} "
        else:  # through the gap beneath its layer
            y = one.y + BOX_HEIGHT + 10
            path = f"M{one.x + 40:g},{one.y + BOX_HEIGHT:g} L{one.x + 40:g},{y:g} L{edge(side):g},{y:g} "
        if side[1] == edge(side):
            end_y = other.y + BOX_HEIGHT / 2 - 8
            path += f"C{out:g},{y:g} {out:g},{end_y:g} {side[1] + outside * 3:g},{end_y:g}"
        else:  # through the gap above its layer
            end_y, x = other.y - 16, other.x + 40
            path += f"C{out:g},{y:g} {out:g},{end_y:g} {edge(side):g},{end_y:g} L{x:g},{end_y:g} L{x:g},{other.y - 3:g}"
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.4" marker-end="url(#tip)"/>'


def picture(found: grimp.ImportGraph) -> str:
    halves = {"service": boxes("service", MARGIN + 60), "workers": boxes("workers", MARGIN + COLUMN + GAP - 20)}
    parts = []
    for half, outside in (("service", -1), ("workers", 1)):
        of = {box.room: box for box in halves[half]}
        parts += [drawn_arrow(of[one], of[other], outside) for one, other in sorted(needed(found, list(of)))]
        parts += map(drawn_box, halves[half])
        parts.append(f'<text x="{halves[half][0].x:g}" y="46" font-size="19" fill="{INK}">{half}/</text>')
    door = next(box for box in halves["workers"] if box.room == DOOR)
    left, y = halves["service"][0].x + COLUMN, door.y + BOX_HEIGHT / 2
    parts.append(
        f'<path d="M{left + 3:g},{y:g} L{door.x - 3:g},{y:g}" stroke="{INK}" stroke-width="2" marker-end="url(#tip)"/>'
    )
    height = TOP + max(len(layers(half)) for half in halves) * ROW
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{LINE}"/></marker>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="14"><title>The rooms of the house and what each imports</title><defs>{tip}</defs>'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>", ""])


def main() -> None:
    found = graph()
    back, up = circles(found), arrows_up(found, "service") | arrows_up(found, "workers")
    PICTURE.write_text(picture(found))
    print(f"{len(found.modules)} modules, {sum(1 for _ in imports(found))} imports; wrote {PICTURE.relative_to(ROOT)}")
    print(f"circles: {len(back)}", *(" -> ".join(chain) for chain in sorted(back)), sep="\n  ")
    print(f"arrows up: {len(up)}", *(f"{one} -> {other}" for one, other in sorted(up)), sep="\n  ")
    sys.exit(bool(back or up))


if __name__ == "__main__":
    main()
