"""What is shown is of what is chosen: a map of anything else is greyed at once, and says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.site import Site, Visit
from tests.tree import ROOT

SLOW = '{"name": "integrated_gradients", "steps": 200}'


class Held:
    """What is asked of the server at `path` waits here until it is released."""

    def __init__(self, visit: Visit, path: str = "**/api/v1/explanations") -> None:
        self._routes: list[Any] | None = []
        visit.page.route(path, self._keep)

    def _keep(self, route: Any) -> None:
        if self._routes is None:
            route.continue_()
        else:
            self._routes.append(route)

    def release(self) -> None:
        routes, self._routes = self._routes, None
        for route in routes or ():
            route.continue_()


def stale(visit: Visit) -> list[str]:
    """Of each greyed map, what it says of itself."""
    return [str(one) for one in visit.page.locator(".cell.stale .note").all_inner_texts()]


def fresh(visit: Visit) -> list[str]:
    """The targets of the maps that are shown as those of the input."""
    return [target for _, target in visit.cells()]


def with_a_slow_method(visit: Visit) -> None:
    """A four, explained by a fast method and a slow one."""
    visit.example(4)
    visit.wait_for_results(1)
    visit.choose("kernel_shap")
    visit.parameter("kernel_shap", "samples", "200")
    visit.page.click("#explain")
    visit.wait_for_results(2)


def test_a_slow_map_of_another_input_is_greyed_and_asks(visit: Visit) -> None:
    with_a_slow_method(visit)
    visit.example(0)
    visit.wait_for_results(1)  # the fast one by itself
    assert fresh(visit) == ["class 0"]
    assert stale(visit) == ["Of the input before."]
    assert "1 of 2" in visit.page.locator("#told").inner_text()
    visit.page.click(".cell.stale .ask button")
    visit.wait_for_results(2)
    assert fresh(visit) == ["class 0", "class 0"]
    assert stale(visit) == []
    assert visit.page.locator("#told").inner_text() == "Both explanations are here."


def test_a_new_input_greys_all_before_the_server_answers(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    held = Held(visit)
    visit.page.set_input_files("#file", ROOT / "examples" / "0.png")
    assert stale(visit) == ["Of the input before."]
    assert visit.page.locator("#prediction.stale").count() == 1
    assert visit.page.locator(".bars button:enabled").count() == 0
    held.release()
    visit.wait_for_results(1)
    assert fresh(visit) == ["class 0"]


def test_an_upload_that_is_refused_leaves_no_map_as_its_own(site: Site, visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    visit.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    visit.page.wait_for_selector("#input-error:not([hidden])")
    assert fresh(visit) == []
    assert stale(visit) == ["Of the input before."]
    assert visit.page.locator(".bars").count() == 0
    assert visit.page.locator("#seen canvas").count() == 0
    assert "was not taken" in visit.page.locator(".cell.stale").inner_text()
    site.refusals = 1


def test_an_input_that_found_no_server_is_sent_again(site: Site, visit: Visit) -> None:
    visit.page.route("**/api/v1/explanations", lambda route: route.abort())
    visit.page.set_input_files("#file", ROOT / "examples" / "0.png")
    visit.page.wait_for_selector("#error:has-text('cannot be reached')")
    assert stale(visit) == ["Of the input before."]
    visit.page.unroute("**/api/v1/explanations")
    visit.page.click(".cell.stale .ask button")
    visit.wait_for_results(1)
    assert fresh(visit) == ["class 0"]
    assert visit.page.locator("#error").is_hidden()
    site.complaints[:] = [one for one in site.complaints if "net::ERR_FAILED" not in one]


def test_a_text_that_is_typed_greys_what_was_of_the_words_before(visit: Visit) -> None:
    visit.page.select_option("#model", "language")
    visit.page.wait_for_selector(".marks .word")
    visit.wait_for_results(1)
    visit.page.fill("#text", "la ragazza mangia")
    assert stale(visit) == ["Of the input before."]
    visit.page.wait_for_selector(".cell:not(.stale) .marks .word:has-text('ragazza')")
    visit.wait_for_results(1)
    visit.page.fill("#text", "  ")
    visit.page.wait_for_selector("#input-error:has-text('no words')")
    assert fresh(visit) == []
    assert stale(visit) == ["Of the input before."]


@pytest.mark.parametrize(("name", "field", "value"), [("language", "#text", "der Hund"), ("rooms", "#row-0", "3")])
def test_what_was_typed_last_is_not_given_to_the_model_chosen_since(
    visit: Visit, name: str, field: str, value: str
) -> None:
    visit.page.select_option("#model", name)
    visit.page.wait_for_selector(".cell.stale", state="detached")
    visit.wait_for_results(1)
    visit.page.evaluate(
        """([field, value]) => {
            const typed = document.querySelector(field);
            typed.value = value;
            typed.dispatchEvent(new Event("input"));
            document.getElementById("model").value = "scenes";
            document.getElementById("model").dispatchEvent(new Event("change"));
        }""",
        [field, value],
    )
    visit.page.wait_for_timeout(600)  # longer than a field waits for the next key
    visit.page.wait_for_selector(".input-cell")
    visit.wait_for_results(1)
    assert visit.page.locator("#input-error").is_hidden()
    assert stale(visit) == []


def test_a_stroke_greys_what_was_there_and_clearing_takes_it_away(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    box = visit.page.locator("#sketch").bounding_box()
    visit.page.mouse.move(box["x"] + 20, box["y"] + 20)
    visit.page.mouse.down()
    assert stale(visit) == ["Of the input before."]
    visit.page.mouse.up()
    visit.wait_for_results(1)
    visit.page.click("text=Clear")
    assert visit.page.locator(".cell").count() == 0
    assert visit.page.locator(".bars").count() == 0


def test_another_model_greys_the_maps_of_the_one_before(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    held = Held(visit)
    visit.page.select_option("#model", "softer")
    assert stale(visit) == ["Of the model digits."]
    held.release()
    visit.wait_for_results(1)
    assert stale(visit) == []


def test_another_class_greys_the_maps_of_the_one_before(visit: Visit) -> None:
    with_a_slow_method(visit)
    held = Held(visit)
    visit.page.click(".bars button >> nth=1")
    assert stale(visit) == ["For class 4.", "For class 4."]
    held.release()
    visit.wait_for_results(1)
    assert fresh(visit) == [visit.pressed()]
    assert stale(visit) == ["For class 4."]


def test_what_was_cancelled_does_not_come_back(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    held = Held(visit)
    visit.choose("smooth_grad")
    visit.parameter("smooth_grad", "of", SLOW)
    visit.page.click("#explain")
    visit.page.click("[aria-label='Cancel SmoothGrad']")  # before the server has said its id
    with visit.page.expect_response(lambda answer: answer.request.method == "DELETE"):
        held.release()
    assert visit.page.locator(".cell", has_text="SmoothGrad").locator("text=Cancelled.").count() == 1
    assert visit.page.locator(".waiting progress").count() == 0


def test_the_answer_that_comes_last_is_not_the_last_that_was_asked(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    held = Held(visit, "**/digit-7.png")
    visit.example(7)
    visit.example(0)
    visit.wait_for_results(1)
    held.release()
    visit.page.wait_for_load_state("networkidle")
    assert visit.pressed() == "class 0"
    assert fresh(visit) == ["class 0"]


def test_back_shows_what_was_there_before(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    before = visit.ids()
    visit.example(0)
    visit.wait_for_results(1)
    visit.page.go_back()
    visit.page.wait_for_function("() => document.querySelector('.bars .label')?.textContent === 'class 4'")
    visit.wait_for_results(1)
    assert visit.ids() == before
    assert fresh(visit) == ["class 4"]
    visit.page.go_forward()
    visit.page.wait_for_function("() => document.querySelector('.bars .label')?.textContent === 'class 0'")
    visit.wait_for_results(1)
    assert fresh(visit) == ["class 0"]


def test_a_link_that_is_read_late_does_not_replace_what_was_chosen_since(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)
    first = visit.page.url.partition("#")[2]
    visit.example(0)
    visit.wait_for_results(1)
    held = Held(visit, "**/api/v1/explanations/*")
    visit.page.evaluate("said => { location.hash = said }", first)
    visit.page.wait_for_timeout(100)
    visit.example(7)
    held.release()
    visit.page.wait_for_function("() => document.querySelector('.bars .label')?.textContent === 'class 7'")
    visit.wait_for_results(1)
    assert fresh(visit) == ["class 7"]


@pytest.mark.slow  # the page looks for models every ten seconds
@pytest.mark.parametrize("gone", [False, True])
def test_a_model_whose_worker_is_away_stays_chosen(visit: Visit, gone: bool) -> None:
    visit.example(7)
    visit.wait_for_results(1)

    def away(route: Any) -> None:
        found = route.fetch().json()
        others = [one for one in found["models"] if one["name"] != "digits"]
        digits = [{**one, "state": "loading"} for one in found["models"] if one["name"] == "digits" and not gone]
        route.fulfill(json={"models": [*digits, *others]})

    visit.page.route("**/api/v1/models", away)
    visit.page.wait_for_selector(f"#model-error:has-text('digits is {'no longer served' if gone else 'loading'}')")
    assert visit.page.input_value("#model") == "digits"
    assert fresh(visit) == ["class 7"]
    visit.page.unroute("**/api/v1/models")
    visit.page.wait_for_selector("#model-error", state="hidden")
    assert visit.page.input_value("#model") == "digits"
    assert fresh(visit) == ["class 7"]


@pytest.mark.slow  # the page looks for models every ten seconds
def test_a_model_that_is_replaced_under_its_name_is_another(visit: Visit) -> None:
    visit.example(4)
    visit.wait_for_results(1)

    def replaced(route: Any) -> None:
        found = route.fetch().json()
        for one in found["models"]:
            one["digest"] = f"{one['digest'][:-4]}0000"
        route.fulfill(json=found)

    visit.page.route("**/api/v1/models", replaced)
    held = Held(visit)
    visit.page.wait_for_selector(".cell.stale .note")
    held.release()
    visit.wait_for_results(1)
    assert stale(visit) == []
