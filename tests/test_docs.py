"""The documentation and the catalogue say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from docs.building.method_table import written
from tests.tree import ROOT
from workers.contract import catalogue, claims
from workers.models.archive import operators

DOCS = ROOT / "docs"
METHODS = DOCS / "methods"


def test_every_method_has_its_page_and_no_page_is_of_a_method_that_is_gone() -> None:
    assert {path.stem for path in METHODS.glob("*.md")} - {"index"} == set(catalogue())


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_page_has_its_formula_and_says_when_the_method_misleads(name: str) -> None:
    title, formula, misleads = (METHODS / f"{name}.md").read_text().partition("\n\n$$\n")
    assert title == f"# {name}"
    formula, _, misleads = misleads.partition("\n## When it misleads\n")
    assert formula.count("$$") == 1
    assert len(misleads.split()) > 15


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_a_page_has_a_picture(name: str) -> None:
    picture = DOCS / "pictures" / "methods" / f"{name}.png"
    assert picture.is_file(), f"draw it: docs/draw_gallery.py says how ({name})"
    with Image.open(picture) as image:
        assert min(image.size) >= 80


def test_every_revision_is_in_the_changelog_of_ids() -> None:
    """Whoever finds another id for the same request finds there which method changed, and what of it."""
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\S+) \| (.+) \|$", (DOCS / "ids.md").read_text(), re.MULTILINE)
    told = [(name, int(revision)) for name, revision, _, _ in rows]
    of = {name: method.revision for name, method in catalogue().items()}
    assert sorted(told) == sorted((name, number) for name, last in of.items() for number in range(2, last + 1))
    assert all(len(why.split()) > 1 for *_, why in rows)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_methods_of_the_recipes_are_taken() -> None:
    asked = [json.loads(text) for text in re.findall(r"`(\{[^`]+\})`", (DOCS / "recipes.md").read_text())]
    assert len(asked) == 4
    assert [catalogue()[one["name"]].model_validate(one).model_dump(include=set(one)) for one in asked] == asked


def test_methods_that_the_decision_table_names_are_in_the_catalogue() -> None:
    named = re.findall(r"\[(\w+)\]\(methods/(\w+)\.md\)", (DOCS / "questions.md").read_text())
    assert all(shown == linked for shown, linked in named)
    # Whoever asks about one prediction, a model or a certainty finds each of these there.
    questions = ("gradient", "lrp", "pattern", "perturbation", "structure", "synthesis", "uncertainty")
    reached = {catalogue()[name].family for name, _ in named}
    assert set(questions) <= reached


def test_the_table_of_all_methods_is_that_of_the_catalogue() -> None:
    page = (DOCS / "questions.md").read_text()
    assert page == written(page), "make table"


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_claim_of_a_method_is_shown_where_it_says(name: str) -> None:
    """A claim without a test or a page that is there is none."""
    for claim in claims(catalogue()[name]):
        path, _, test = claim.shown.partition("::")
        text = (ROOT / path).read_text()
        assert not test or f"def {test}(" in text, claim.shown
        assert bool(test) == path.startswith("tests/")
        assert not claim.seed or re.fullmatch(r"S[0-4] .+", claim.seed)


def test_what_the_seeds_add_has_tests_that_are_there() -> None:
    """Of its closed form, and of it over HTTP."""
    rows = [line.split(" | ") for line in (DOCS / "seeds.md").read_text().splitlines() if "](../tests/" in line]
    assert len(rows) > 20
    for what, closed_form, over_http, *_ in rows:
        for shown, root in ((closed_form, "tests/workers/"), (over_http, "tests/service/")):
            tests = re.findall(r"\[`(\w+)`\]\(\.\./([\w/]+\.py)\)", shown)
            assert tests, what
            for test, path in tests:
                assert path.startswith(root), what
                assert f"def {test}(" in (ROOT / path).read_text(), test


def test_what_the_pages_link_to_is_there() -> None:
    """In the docs or beside them; headings are checked where the pages are built."""
    broken = [
        (str(page.relative_to(ROOT)), link)
        for page in (*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "reproductions").glob("*.md"))
        for link in re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_the_operators_that_an_archive_may_call_are_those_of_the_page() -> None:
    assert (DOCS / "operators.md").read_text() == operators.page()
    assert not [name for name in operators.operators() if name in {"from_file", "set_", "_print", "resize_", "data"}]
