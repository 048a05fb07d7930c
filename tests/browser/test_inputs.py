"""Inputs by their kind, and what the page begins with."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.browser.site import Site, Visit

PHONE = (390, 844)


def number(told: str) -> float:
    return float(told.replace("\N{MINUS SIGN}", "-"))


def model(visit: Visit, name: str) -> None:
    visit.page.select_option("#model", name)
    visit.page.wait_for_selector(".cell.stale", state="detached")
    visit.wait_for_results(1)


def test_it_opens_on_an_example_that_is_explained_in_words(visit: Visit) -> None:
    assert visit.pressed() == "class 4"
    legend = visit.page.locator("#legend").inner_text()
    assert legend.startswith("Red speaks for class 4, blue against it; the bar ends at the 99.5th percentile, ")
    assert visit.page.locator("#told").inner_text() == "The explanation is here."


def test_logits_where_the_probabilities_say_nothing(visit: Visit) -> None:
    visit.example(3)
    visit.wait_for_results(1)
    values = [number(one) for one in visit.page.locator(".bars .value").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 5
    assert "In logits" in visit.page.locator("#prediction").inner_text()


@pytest.mark.parametrize("size", [(1280, 800), PHONE])
def test_chips_and_map_are_in_sight_and_nothing_covers_them(site: Site, size: tuple[int, int]) -> None:
    visit = site.visit(size=size)
    for chosen in ("#m-gradient", ".cell:has(.files) > canvas"):
        box = visit.page.locator(chosen).bounding_box()
        assert box["y"] + 40 < size[1]
    visit.page.keyboard.press("End")
    fixed = "all => all.filter(one => ['fixed', 'sticky'].includes(getComputedStyle(one).position)).length"
    assert visit.page.eval_on_selector_all("body *", fixed) == 0


def test_a_row_has_named_fields_with_their_ranges(site: Site, visit: Visit) -> None:
    model(visit, "rooms")
    assert visit.page.locator(".named label").all_inner_texts() == ["rooms", "age", "distance"]
    assert visit.page.locator(".named small").all_inner_texts() == ["1 to 9", "0 to 100", "0 to 30"]
    (before,) = visit.ids()
    visit.page.fill("#row-1", "12.5")
    assert visit.page.locator(".cell.stale").count() == 1
    visit.page.wait_for_function("before => !location.hash.includes(before)", arg=before)
    visit.wait_for_results(1)
    assert not np.array_equal(site.numbers(before), site.numbers(visit.ids()[0]))
    values = site.numbers(visit.ids()[0])
    told = [number(one) for one in visit.page.locator(".row-bars .told").all_inner_texts()]
    np.testing.assert_allclose(told, values, rtol=0.005)
    widths = np.array([one.bounding_box()["width"] for one in visit.page.locator(".amount").all()])
    np.testing.assert_allclose(widths / widths.max(), np.abs(values) / np.abs(values).max(), atol=0.02)
    assert visit.page.locator(".row-bars .feature").nth(1).inner_text() == "age = 12.5"
    assert visit.page.locator("#legend").inner_text() == "Red raises the output, blue lowers it."
    for hidden in ("[name=under]", "#keys", "#class"):  # there is no picture to point at, and no class
        assert visit.page.locator(hidden).is_hidden()
    visit.page.fill("#row-1", "")
    visit.page.wait_for_selector("#input-error:has-text('age')")
    assert visit.cells() == []


def test_a_supported_method_is_chosen_where_the_default_is_not(visit: Visit) -> None:
    model(visit, "digits")
    visit.page.uncheck("#m-integrated_gradients")
    visit.choose("grad_cam")
    visit.wait_for_results(1)
    model(visit, "rooms")  # its default is grad_cam, which no row supports
    assert visit.cells() == [("Integrated gradients", "the output")]


def test_a_pixel_of_a_segmentation_is_explained_at_a_click(site: Site, visit: Visit) -> None:
    model(visit, "scenes")
    (whole,) = visit.ids()
    canvas = visit.page.locator(".input-cell > canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 5.5 / 16, "y": box["height"] * 9.5 / 16})
    visit.page.wait_for_function("whole => !location.hash.includes(whole)", arg=whole)
    visit.wait_for_results(1)
    ((_, target),) = visit.cells()
    assert target.endswith(" at x 5, y 9")
    assert [visit.page.input_value(f"#pixel-{axis}") for axis in "xy"] == ["5", "9"]
    _, rows, columns = np.nonzero(site.numbers(visit.ids()[0]))
    assert set(rows) <= set(range(8, 11))  # what a 3 x 3 kernel sees there
    assert set(columns) <= set(range(4, 7))
    assert len(rows)
    visit.page.click("text=All pixels")
    visit.page.wait_for_function("whole => location.hash.includes(whole)", arg=whole)


def test_a_pixel_of_a_picture_of_any_size_is_explained_at_a_click(site: Site, visit: Visit, tmp_path: object) -> None:
    """How many places there are is the picture's own matter: 20 by 12 here, and 24 by 30 after it."""
    visit.page.select_option("#model", "views")
    assert "images of any size" in visit.page.inner_text("#model-about")
    for width, height in ((20, 12), (24, 30)):
        file = f"{tmp_path}/{width}.png"
        draw = np.random.default_rng(0)
        Image.fromarray(draw.integers(0, 256, (height, width, 3), np.uint8)).save(file)
        visit.page.set_input_files("#file", file)
        visit.page.mouse.move(0, 0)  # off the picture, which tells of the place below it
        size = f"{width} \N{MULTIPLICATION SIGN} {height}"
        visit.page.wait_for_selector(f".input-cell:has-text('{size}; click a pixel')")
        visit.wait_for_results(1)
        canvas = visit.page.locator(".input-cell > canvas")
        box = canvas.bounding_box()
        canvas.click(position={"x": box["width"] * 5.5 / width, "y": box["height"] * 9.5 / height})
        visit.page.wait_for_selector(".cell:not(.stale) small:has-text(' at x 5, y 9')")
        visit.wait_for_results(1)
        _, rows, columns = np.nonzero(site.numbers(visit.ids()[0]))
        assert set(rows) <= set(range(8, 11))
        assert set(columns) <= set(range(4, 7))
        assert len(rows)


def test_a_picture_that_takes_anothers_place_beneath_the_pointer_tells_of_no_pixel_once_that_is_elsewhere(
    visit: Visit,
) -> None:
    """Nothing leaves a canvas that came after the pointer, so no such event can be waited for."""
    model(visit, "scenes")
    move = "({left, top}, [at]) => (at ?? document.body).dispatchEvent(new PointerEvent('pointermove',"
    move += " {clientX: left + 9, clientY: top + 9, bubbles: true}))"
    told = visit.page.evaluate(
        f"""() => {{
            const move = {move};
            const canvas = () => document.querySelector(".input-cell canvas");
            const readout = () => document.querySelector(".input-cell output").textContent;
            const before = readout();
            move(canvas().getBoundingClientRect(), [canvas()]);
            const over = readout();
            document.querySelector("#m-gradient").click(); // one explanation more: the grid is built anew
            move({{left: 0, top: 0}}, []);
            return [before, over, readout()];
        }}"""
    )
    assert told[0] == told[2] != told[1]
    assert told[1].startswith("x ")


def test_of_a_series_of_any_length_any_output_is_named(visit: Visit) -> None:
    model(visit, "waves")
    assert visit.page.locator(".bars .label").all_inner_texts()[:2] == ["output 0", "output 1"]
    visit.page.fill("#class", "6")
    visit.page.press("#class", "Tab")
    visit.wait_for_results(1)
    assert visit.page.locator("#target-error").is_hidden()
    assert visit.cells()[0][1] == "output 6"
