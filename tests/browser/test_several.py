"""Several inputs side by side, and texts, on the page."""

from __future__ import annotations

import httpx
import numpy as np
from PIL import Image

from tests.browser.site import Site, Visit
from tests.patience import PATIENCE_S


def chosen(visit: Visit, name: str) -> None:
    visit.page.select_option("#model", name)
    visit.page.wait_for_selector(".cell.stale", state="detached")
    visit.wait_for_results(1)


def told(site: Site, key: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(
        f"{site.url}/api/v1/explanations/{key}", trust_env=False, timeout=PATIENCE_S
    ).json()
    return found


def test_each_input_has_a_block_and_all_of_them_are_explained(site: Site, visit: Visit, tmp_path: object) -> None:
    chosen(visit, "house")
    assert visit.page.locator(".block h3").all_inner_texts() == ["photo image", "rooms tensor"]
    (before,) = visit.ids()
    arrays = told(site, before)["arrays"]
    assert isinstance(arrays, dict)
    assert {"attribution.photo", "attribution.rooms"} <= arrays.keys()
    assert visit.page.inner_text("#legend").startswith("Red speaks for class")
    visit.page.fill("#in-1-1", "12.5")
    visit.page.wait_for_function("before => !location.hash.includes(before)", arg=before)
    visit.wait_for_results(1)
    (after,) = visit.ids()
    assert told(site, before)["input"] != told(site, after)["input"]
    picture = visit.page.locator(".cell img").first
    visit.page.wait_for_function("() => document.querySelector('.cell img').naturalWidth > 100")
    visit.page.wait_for_selector(".cell.wide")
    shown, natural = picture.evaluate("image => [image.clientWidth, image.naturalWidth]")
    assert min(natural, 640) <= shown <= natural, "its letters can be read"


def test_a_file_is_put_into_the_block_it_is_picked_for(site: Site, visit: Visit, tmp_path: object) -> None:
    chosen(visit, "house")
    (before,) = visit.ids()
    file = f"{tmp_path}/mine.png"
    Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).save(file)
    visit.page.set_input_files("#in-0-file", file)
    visit.page.wait_for_function("before => !location.hash.includes(before)", arg=before)
    visit.wait_for_results(1)
    visit.page.locator(".files summary").first.click()
    curl = visit.page.locator(".files").first.inner_text()
    assert "inputs.photo=@mine.png" in curl
    assert '"inputs":{"rooms":' in curl


def test_a_word_that_is_clicked_says_its_number(visit: Visit) -> None:
    chosen(visit, "language")
    visit.page.wait_for_selector(".marks .word")
    words = visit.page.locator(".marks .word")
    assert words.first.inner_text() == "le"
    words.first.click()
    readout = visit.page.locator(".cell .readout").inner_text()
    assert readout.startswith("le: ")
    visit.page.fill("#text", "der Hund")
    visit.page.wait_for_selector(".marks .word:has-text('der')")
