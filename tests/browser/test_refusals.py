"""What cannot be explained, and why: each fault stands where it was chosen, and leaves the rest in peace."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.browser.site import Site, Visit


def test_errors_stand_where_they_belong(site: Site, visit: Visit) -> None:
    visit.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    visit.page.wait_for_selector("#input-error:not([hidden])")
    visit.example(4)
    visit.wait_for_results(1)
    assert visit.page.locator("#input-error").is_hidden()
    visit.parameter("integrated_gradients", "steps", "0")
    error = visit.page.wait_for_selector("#p-integrated_gradients-steps-error:not([hidden])")
    assert error.inner_text() == "Input should be greater than or equal to 1"
    assert visit.page.get_attribute("#p-integrated_gradients-steps", "aria-invalid") == "true"
    visit.page.fill("#class", "eleven")
    visit.page.press("#class", "Tab")
    assert "no class" in visit.page.locator("#target-error").inner_text()
    visit.page.evaluate("location.hash = '#e=" + "0" * 64 + "'")
    visit.page.wait_for_selector("#error:has-text('cannot be shown')")
    site.refusals = 3


def test_one_wrong_method_leaves_the_others(site: Site, visit: Visit) -> None:
    visit.page.uncheck("#auto")
    visit.example(4)
    visit.page.wait_for_selector(".bars")
    visit.choose("lrp", "smooth_grad")
    visit.parameter("smooth_grad", "samples", "0")
    visit.page.click("#explain")
    visit.page.wait_for_selector(".cell .error")
    visit.page.wait_for_function("() => document.querySelectorAll('.cell .files').length === 2")
    assert visit.page.locator("#p-smooth_grad-samples-error").is_visible()
    site.refusals = 2  # of all three, then of the one


def test_a_form_that_nobody_touched_says_nothing(visit: Visit) -> None:
    visit.page.uncheck("#auto")
    names = visit.page.eval_on_selector_all(".method input:enabled", "all => all.map(one => one.id.slice(2))")
    visit.choose(*names)
    asked = visit.page.evaluate("async () => (await import('/page/methods.js')).methodsAsked()")
    assert {tuple(one) for one in asked} == {("name",)}
    assert {one["name"] for one in asked} == set(names)
    assert len(names) > 30


def test_a_key_is_asked_for_and_sent(site: Site) -> None:
    visit = site.visit()

    def guarded(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer abc":
            route.continue_()
        else:
            problem = {"code": "key_required", "detail": "this needs an API key"}
            route.fulfill(status=401, json=problem, content_type="application/problem+json")

    visit.page.route("**/api/**", guarded)
    visit.page.reload()
    visit.page.fill("#key", "abc")
    visit.page.press("#key", "Enter")
    visit.example(3)
    visit.choose("pixel_flipping")
    visit.wait_for_results(2)
    visit.page.wait_for_function("() => document.querySelector('img.served').naturalWidth > 0")
    visit.page.click(".files summary >> nth=0")
    with visit.page.expect_download() as download:
        visit.page.click("text=.npy >> nth=0")
    np.testing.assert_array_equal(np.load(download.value.path()), site.numbers(visit.ids()[0]))
    site.refusals = 3  # models, methods, datasets


def test_methods_that_the_model_does_not_support_say_why(visit: Visit) -> None:
    assert visit.page.is_disabled("#m-cam")
    assert "averages its last layer" in visit.page.locator("#q-cam").text_content()
    visit.page.fill("#search", "hiding")
    assert [one.inner_text() for one in visit.page.locator(".method:visible label").all()] == ["Occlusion"]
