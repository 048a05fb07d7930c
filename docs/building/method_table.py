"""Writes the table of all methods in docs/questions.md from the catalogue: `python -m docs.building.method_table`."""

from __future__ import annotations

from pathlib import Path

from workers.contract import Claim, catalogue, claims, inputs

PAGE = Path(__file__).parents[1] / "questions.md"
BEGIN, END = "<!-- all methods: written by make table -->", "<!-- end of all methods -->"


def table() -> str:
    """A line for each method, by family and name."""
    lines = [
        "| method | question | inputs | cost | what it promises | known failures |",
        "|---|---|---|---|---|---|",
    ]
    for name, kind in catalogue().items():
        said = claims(kind)
        cells = (
            f"[{name}](methods/{name}.md)",
            kind.question,
            inputs(kind),
            kind.cost,
            _told(said.promises),
            _told(said.fails),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _told(claim: Claim) -> str:
    """The sentence, where a text says so, and a link to what shows it: a test, or a page of the reproductions."""
    path, _, test = claim.shown.partition("::")
    seed = f" ({claim.seed})" if claim.seed else ""
    return f"{claim.says}{seed}: [`{test or path}`](../{path})"


def written(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
