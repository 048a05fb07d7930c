"""The page in a real Chromium: a digit is drawn, explained, asked about otherwise, cancelled, linked to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.site import TOO_LATE, Site, Visit
from tests.patience import PATIENCE_S
from tests.tree import ROOT

FOUR = ("integrated_gradients", "gradient", "lrp", "grad_cam")


def explained(visit: Visit, *methods: str) -> None:
    visit.choose(*methods)
    visit.wait_for_results(1 + len(methods))


def test_a_drawn_digit_is_explained_four_ways(visit: Visit) -> None:
    visit.draw()
    visit.wait_for_results(1)
    assert visit.pressed() == "class 7"
    explained(visit, *FOUR[1:])
    titles = {"Integrated gradients", "Gradient", "LRP", "Grad-CAM"}
    assert {title for title, _ in visit.cells()} == titles
    assert {target for _, target in visit.cells()} == {"class 7"}
    assert len(set(visit.pictures())) == 5  # with the input
    check = visit.page.locator(".cell", has_text="Integrated gradients").locator(".check").inner_text()
    assert check.startswith("Explains ")
    assert "of the score difference" in check


def test_another_class_is_explained_at_a_click(site: Site, visit: Visit) -> None:
    visit.example(3)
    visit.wait_for_results(1)
    (before,) = visit.ids()
    visit.page.click(".bars button >> nth=1")
    visit.page.wait_for_function("before => !location.hash.includes(before)", arg=before)
    visit.wait_for_results(1)
    assert visit.cells() == [("Integrated gradients", visit.pressed())]
    assert visit.pressed() != "class 3"
    assert not np.array_equal(site.numbers(before), site.numbers(visit.ids()[0]))


def test_the_numbers_are_downloaded_and_read_under_the_pointer(site: Site, visit: Visit) -> None:
    visit.example(7)
    visit.wait_for_results(1)
    visit.page.click(".files summary")
    with visit.page.expect_download() as download:
        visit.page.click("text=.npy")
    assert download.value.suggested_filename == "integrated_gradients-digits.npy"
    numbers = np.load(download.value.path())
    np.testing.assert_array_equal(numbers, site.numbers(visit.ids()[0]))
    row, column = np.unravel_index(numbers[0].argmax(), (28, 28))
    canvas = visit.page.locator(".cell:has(.files) > canvas")
    canvas.focus()
    for key, times in (("ArrowLeft", 14), ("ArrowUp", 14), ("ArrowRight", int(column)), ("ArrowDown", int(row))):
        for _ in range(times):
            canvas.press(key)
    shown = visit.page.locator(".cell:has(.files) .readout").inner_text()
    assert shown == f"x {column}, y {row}: {numbers.max():.3g}"


def test_a_link_restores_all_of_it(site: Site, visit: Visit) -> None:
    visit.example(5)
    visit.wait_for_results(1)
    visit.parameter("integrated_gradients", "steps", "16")
    explained(visit, "lrp")
    visit.page.select_option("[name=colours]", "purple_green")
    visit.page.select_option("[name=scale]", "all")
    visit.page.wait_for_function("() => location.hash.includes('purple_green')")
    other = site.visit(visit.page.url)
    other.wait_for_results(2)
    other.page.wait_for_selector("#seen canvas")
    assert other.cells() == visit.cells()
    assert other.pictures() == visit.pictures()
    assert other.pressed() == "class 5"
    assert other.page.input_value("#p-integrated_gradients-steps") == "16"
    assert other.page.is_checked("#m-lrp")
    other.page.click("#explain")
    other.wait_for_results(2)
    assert other.ids() == visit.ids()


def test_a_long_explanation_shows_its_progress_and_is_cancelled(site: Site, visit: Visit) -> None:
    visit.page.uncheck("#auto")
    visit.example(2)
    visit.page.wait_for_selector(".bars")
    visit.choose("smooth_grad")
    visit.page.uncheck("#m-integrated_gradients")
    visit.parameter("smooth_grad", "samples", "1000")
    visit.parameter("smooth_grad", "of", '{"name": "integrated_gradients", "steps": 200}')
    visit.page.click("#explain")
    visit.page.wait_for_function("() => document.querySelector('.waiting progress')?.value > 0")
    (key,) = visit.ids()
    assert site.status(key) == "running"
    visit.page.click("[aria-label='Cancel SmoothGrad']")
    visit.page.wait_for_selector("text=Cancelled.")
    visit.page.wait_for_function(
        "async key => (await (await fetch(`/api/v1/explanations/${key}`)).json()).status === 'cancelled'", arg=key
    )
    visit.example(1)
    visit.page.wait_for_function("() => document.querySelector('.bars .label').textContent === 'class 1'")


def test_what_is_done_before_its_cancelling_arrives_is_shown(site: Site, visit: Visit) -> None:
    asked = []

    def told_as_running(route: Any) -> None:
        answer = route.fetch()
        (one,) = answer.json()["explanations"]
        asked.append(one["id"])
        while site.status(one["id"]) != "succeeded":
            pass
        route.fulfill(response=answer, json={"explanations": [{**one, "status": "running"}]})

    visit.page.uncheck("#auto")
    visit.example(4)
    visit.page.wait_for_selector(".bars button:enabled")
    visit.page.route("**/events", lambda route: None)
    visit.page.route("**/api/v1/explanations", told_as_running)
    visit.choose("smooth_grad")
    visit.page.uncheck("#m-integrated_gradients")
    with visit.page.expect_response("**/api/v1/explanations"):
        visit.page.click("#explain")
    visit.page.wait_for_function("key => location.hash.includes(key)", arg=asked[0])
    with visit.page.expect_response(lambda answer: (answer.request.method, answer.status) == TOO_LATE):
        visit.page.click("[aria-label='Cancel SmoothGrad']")
    visit.wait_for_results(1)
    assert visit.ids() == asked


@pytest.mark.parametrize(
    ("against", "heads"), [("class", ("class 3", "digits")), ("model softer", ("class 9", "softer"))]
)
def test_two_targets_and_two_models_side_by_side(
    site: Site, visit: Visit, against: str, heads: tuple[str, str]
) -> None:
    visit.example(9)
    visit.wait_for_results(1)
    visit.page.select_option("#compare", against)
    if against == "class":
        visit.page.fill("#second", "3")
        visit.page.press("#second", "Tab")
    visit.page.wait_for_selector(f"#grid > h3:has-text('{heads[0]}, {heads[1]}')")
    visit.wait_for_results(2)
    assert visit.page.locator("#grid > h3").all_inner_texts() == ["class 9, digits", ", ".join(heads)]
    limits = visit.page.locator(".legend .high")
    assert limits.nth(0).inner_text() != limits.nth(1).inner_text()
    visit.page.select_option("[name=scale]", "method")
    assert limits.nth(0).inner_text() == limits.nth(1).inner_text()
    other = site.visit(visit.page.url)
    other.wait_for_results(2)
    assert other.page.locator("#grid > h3").all_inner_texts() == visit.page.locator("#grid > h3").all_inner_texts()


def test_the_program_that_it_shows_computes_the_same(site: Site, visit: Visit, tmp_path: Path) -> None:
    visit.example(6)
    visit.wait_for_results(1)
    program = visit.page.locator("[data-code=Python]").text_content()
    command = visit.page.locator("[data-code=curl]").text_content()
    (tmp_path / "digit-6.png").write_bytes((ROOT / "examples" / "6.png").read_bytes())
    saving = program + "np.save('found.npy', explanation)\n"
    subprocess.run([sys.executable, "-W", "ignore", "-c", saving], cwd=tmp_path, check=True, timeout=PATIENCE_S)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), site.numbers(visit.ids()[0]))
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=PATIENCE_S, capture_output=True)
    assert (tmp_path / "explanation.png").read_bytes().startswith(b"\x89PNG")


def test_all_of_it_works_from_the_keyboard(visit: Visit) -> None:
    visit.page.focus("#sketch")
    for key, times in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(times):
            visit.page.keyboard.press(key)
    visit.wait_for_results(1)
    assert visit.pressed() == "class 1"
    visit.page.focus(".bars button >> nth=1")
    second = visit.page.locator(".bars button >> nth=1").locator(".label").inner_text()
    visit.page.keyboard.press("Enter")
    assert visit.pressed() == second


def test_the_overlay_is_the_map_on_the_input(visit: Visit) -> None:
    visit.example(8)
    visit.wait_for_results(1)
    visit.page.wait_for_selector(".cell:not(:has(.files)) canvas")
    alone = visit.pictures()
    visit.page.locator("[name=under]").fill("1")
    beneath = visit.pictures()
    assert beneath[0] == alone[0]  # the input
    assert beneath[1] != alone[1]


def test_the_page_is_light(site: Site, visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    files = [url for url in site.asked if "/api/" not in url]
    weight = sum(len(visit.page.request.get(url).body()) for url in files)
    whole = sum(one.stat().st_size for one in (ROOT / "service/page").rglob("*") if one.is_file())
    assert weight < 300_000
    assert whole < 300_000


def test_a_pasted_image_is_taken(visit: Visit) -> None:
    data = list((ROOT / "examples" / "0.png").read_bytes())
    visit.page.evaluate(
        """data => {
            const clipboard = new DataTransfer();
            clipboard.items.add(new File([new Uint8Array(data)], "zero.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: clipboard}));
        }""",
        data,
    )
    visit.wait_for_results(1)
    assert visit.pressed() == "class 0"
