"""The files of the page: where they are, what a browser may do with them, what they weigh."""

from __future__ import annotations

import re

import httpx
import numpy as np
import pytest

from service.render.colormaps import colours
from tests.tree import ROOT

FOLDER = ROOT / "service" / "page"
FILES = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
PEOPLE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_may_load_only_from_here_and_run_nothing_inline(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers=PEOPLE)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy["script-src"], policy["style-src"], policy["connect-src"]} == {"'self'"}
    assert answer.text.count("<script") == answer.text.count('<script type="module" src="/page/main.js"></script>') == 1
    assert not re.search(r"<style|\sstyle=|\son\w+=", answer.text)


async def test_every_file_is_served_and_asked_for_again_only_when_it_changed(client: httpx.AsyncClient) -> None:
    kinds = {
        ".css": "text/css",
        ".html": "text/html",
        ".js": "javascript",
        ".png": "image/png",
        ".svg": "image/svg+xml",
    }
    for path in FILES:
        place = path.relative_to(FOLDER).as_posix()
        answer = await client.get(f"/page/{place}")
        assert (answer.status_code, answer.content) == (200, path.read_bytes())
        assert kinds[path.suffix] in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = await client.get(f"/page/{place}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304


@pytest.mark.parametrize(
    "name", ["none.js", "input", "input/none.js", "input/../../app.py", "..%2fapp.py", "%2e%2e", ".", "", "a%00b"]
)
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_page_draws_with_the_colours_of_the_pictures(client: httpx.AsyncClient) -> None:
    tables = (await client.get("/page/colours.json")).json()
    for name in ("blue_red", "purple_green", "heat"):
        table = np.frombuffer(bytes.fromhex(tables[name]), np.uint8).reshape(-1, 3)
        np.testing.assert_array_equal(table, colours(np.linspace(-1, 1, len(table), dtype=np.float32), name))
        assert table[len(table) // 2].tolist() == [255, 255, 255]


def test_the_page_is_light_and_names_no_other_host() -> None:
    assert sum(path.stat().st_size for path in FILES) < 300_000
    for path in FILES:
        if path.suffix in (".css", ".html", ".js"):
            assert not re.search(r"https?://", path.read_text()), path.name
    scripts = [path for path in FILES if path.suffix == ".js"]
    imported = {
        (path.parent / name).resolve() for path in scripts for name in re.findall(r'from "(\.[^"]+)"', path.read_text())
    }
    assert imported | {FOLDER / "main.js"} == set(scripts)
