"""Many inputs in one job from the page: what is sent, how far it is, what comes of it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import httpx

from tests.browser.site import Site, Visit
from tests.tree import ROOT

DIGITS = sorted((ROOT / "examples").glob("*.png"))


def finished(visit: Visit, words: str) -> str:
    """The job's id, once it is shown."""
    visit.page.wait_for_selector(f"#many-told:has-text('{words}')")
    visit.page.wait_for_function("() => document.getElementById('many-sheet').naturalWidth > 0")
    assert not visit.page.locator("#many-error").is_visible()
    address: str = visit.page.get_attribute("#many-files-made a", "href")
    return address.split("/")[-2]


def opened(visit: Visit) -> None:
    visit.page.click("#many > summary")
    assert visit.page.is_disabled("#many-explain")


def test_images_are_one_job_with_a_summary_and_sheets(site: Site, visit: Visit) -> None:
    opened(visit)
    visit.page.set_input_files("#many-files", [str(path) for path in DIGITS])
    assert "each for what it is predicted to be" in visit.page.inner_text("#many-about")
    visit.page.click("#many-explain")
    key = finished(visit, "10 inputs are explained.")
    assert visit.page.inner_text("#many-page") == "Sheet 1 of 1"
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False).json()["items"]
    job = httpx.get(f"{site.url}/api/v1/explanations/{key}", trust_env=False).json()
    asked = {
        "model": "digits",
        "method": job["method"]["of"],
        "input": {"image": b64encode(DIGITS[3].read_bytes()).decode()},
    }
    alone: dict[str, Any] = httpx.post(
        f"{site.url}/api/v1/explanations", json=asked, trust_env=False, timeout=60
    ).json()
    assert items[3]["id"] == alone["id"], "each is the explanation that it is alone"
    visit.page.select_option("#many-sort", "worst")
    visit.page.wait_for_function("() => document.getElementById('many-sheet').src.endsWith('sort=worst')")


def test_a_table_is_rows_in_any_order_of_columns(site: Site, visit: Visit) -> None:
    opened(visit)
    visit.page.select_option("#model", "rooms")
    visit.wait_for_results(1)
    table = '"age",label,rooms,distance\n' + "".join(f"{age},{age % 2},3,1.5\n" for age in range(30))
    visit.page.set_input_files("#many-files", {"name": "t.csv", "mimeType": "text/csv", "buffer": table.encode()})
    visit.page.click("#many-explain")
    key = finished(visit, "30 inputs are explained.")
    assert visit.page.inner_text("#many-page") == "Sheet 1 of 2"
    visit.page.click("#many-next")
    assert visit.page.inner_text("#many-page") == "Sheet 2 of 2"
    assert visit.page.is_disabled("#many-next")
    items = httpx.get(f"{site.url}/api/v1/explanations/{key}/items", trust_env=False).json()["items"]
    seen = site.numbers(items[7]["id"])
    assert seen.shape == (3,)
    assert [one["label"]["index"] for one in items[:3]] == [0, 1, 0]


def test_what_is_wrong_is_told_and_another_file_works(visit: Visit) -> None:
    opened(visit)
    for name, content, said in (
        ("notes.txt", b"no image", "These are no images"),
        ("t.csv", b"a,b\n1,2\n", "The table has"),
    ):
        visit.page.set_input_files("#many-files", {"name": name, "mimeType": "text/plain", "buffer": content})
        visit.page.click("#many-explain")
        visit.page.wait_for_selector(f"#many-error:has-text('{said}')")
    visit.page.set_input_files("#many-files", str(DIGITS[1]))
    visit.page.click("#many-explain")
    finished(visit, "1 input is explained.")
