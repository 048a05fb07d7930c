"""Takes the pictures of the page from a running Whence, in Chromium. Use: python -m docs.draw_page [URL]"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.site import Site, Visit

PICTURES = Path(__file__).parent / "pictures"
METHODS = ("gradient", "lrp", "grad_cam", "occlusion")


def keep(visit: Visit, name: str) -> None:
    """The part in sight, as a small file."""
    path = PICTURES / f"page-{name}.png"
    visit.page.mouse.move(0, 0)
    visit.page.eval_on_selector("#methods", "all => all.scrollTo(0, 0)")
    visit.page.evaluate("() => document.activeElement.blur()")
    visit.page.screenshot(path=path)
    few = Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(path)


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        site = Site(url, browser)
        desk = site.visit(size=(1280, 1060))
        desk.draw()
        desk.choose(*METHODS)
        desk.wait_for_results(1 + len(METHODS))
        desk.page.evaluate("() => window.scrollTo(0, 0)")
        keep(desk, "desktop")

        desk = site.visit(size=(1280, 1060), color_scheme="dark")
        desk.example(9)
        desk.choose("lrp")
        desk.page.select_option("#compare", "class")
        desk.page.fill("#second", "4")
        desk.page.press("#second", "Tab")
        desk.wait_for_results(4)
        desk.page.select_option("[name=scale]", "method")
        desk.page.evaluate("() => window.scrollTo(0, 0)")
        keep(desk, "compare")

        for name, place in (("phone", "#model"), ("phone-results", "#results-title")):
            phone = site.visit(size=(390, 844))
            phone.draw()
            phone.choose(*METHODS)
            phone.wait_for_results(1 + len(METHODS))
            phone.page.eval_on_selector(place, "here => here.scrollIntoView()")
            if place == "#model":
                phone.page.evaluate("() => window.scrollTo(0, 0)")
            keep(phone, name)
        site.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
