"""Takes the pictures of the page from a running Whence, in Chromium. Use: python -m docs.draw_page [URL]

It serves the models of the page's tests (tests/browser/conftest.py).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import FLAGS
from tests.browser.site import Site, Visit

PICTURES = Path(__file__).parent / "pictures"
EXAMPLES = Path(__file__).parents[1] / "examples"
METHODS = ("gradient", "lrp", "grad_cam", "occlusion")
PHONE = (390, 844)


def keep(visit: Visit, name: str, top: str = "header") -> None:
    """The part in sight from `top` on, as a small file."""
    path = PICTURES / f"page-{name}.png"
    visit.page.evaluate("() => document.activeElement.blur()")
    visit.page.eval_on_selector(top, "here => here.scrollIntoView()")
    visit.page.mouse.move(0, 0)
    visit.page.screenshot(path=path)
    few = Image.open(path).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    print(path)


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        site = Site(url, browser)
        desk = site.visit()
        desk.draw()
        desk.choose(*METHODS)
        desk.wait_for_results(1 + len(METHODS))
        keep(desk, "desktop")

        desk = site.visit(size=(1280, 1060), color_scheme="dark")
        desk.example(9)
        desk.choose("lrp")
        desk.page.select_option("#compare", "class")
        desk.page.fill("#second", "4")
        desk.page.press("#second", "Tab")
        desk.wait_for_results(4)
        desk.page.select_option("[name=scale]", "method")
        keep(desk, "compare")

        desk = site.visit()
        desk.choose("lime")
        desk.page.click(".ask button")
        desk.wait_for_results(2)
        desk.example(0)
        desk.wait_for_results(1)
        keep(desk, "stale")

        desk = site.visit(color_scheme="dark")
        desk.page.select_option("#model", "rooms")
        desk.page.wait_for_selector(".named")
        desk.wait_for_results(1)
        keep(desk, "row")

        desk = site.visit()
        desk.page.select_option("#model", "house")
        desk.wait_for_results(1)
        desk.page.wait_for_selector(".cell.wide")
        keep(desk, "several")

        desk = site.visit(color_scheme="dark")
        unread = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no image"}
        desk.page.set_input_files(".pick input[type=file]", unread)
        desk.page.wait_for_selector("#input-error:not([hidden])")
        site.refusals += 1
        keep(desk, "error")

        desk = site.visit()
        desk.page.select_option("#model", "scenes")
        desk.page.wait_for_selector(".cell.stale", state="detached")
        desk.wait_for_results(1)
        pixel = desk.page.locator(".input-cell > canvas")
        pixel.click(position={"x": 100, "y": 130})
        desk.choose("lrp")
        desk.wait_for_results(2)
        keep(desk, "pixel")

        desk = site.visit()
        desk.page.click("#many > summary")
        desk.page.set_input_files("#many-files", sorted(EXAMPLES.glob("*.png")))
        desk.page.click("#many-explain")
        desk.page.wait_for_function("() => document.getElementById('many-sheet').naturalWidth > 0")
        keep(desk, "many", "#many")

        phone = site.visit(size=PHONE, color_scheme="dark")
        phone.page.select_option("#model", "language")
        phone.page.wait_for_selector(".marks .word")
        phone.choose("lrp")
        phone.wait_for_results(2)
        keep(phone, "text", "#input-title")

        phone = site.visit(size=PHONE)
        phone.example(7)
        phone.wait_for_results(1)
        keep(phone, "phone")
        phone.choose(*METHODS[:3])
        phone.wait_for_results(4)
        keep(phone, "phone-results", "#results-title")
        site.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
