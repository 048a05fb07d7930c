"""What opening the page costs: bytes, requests, and the time until its first explanation stands there.

Use: python -m benchmarks.page URL, beside a running Whence whose models have been asked once. Five visits with nothing
remembered at each size of the window, and the median of each figure.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from typing import Any

from playwright.sync_api import sync_playwright

VISITS = 5
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
EXPLAINED = "() => document.querySelectorAll('.cell:not(.stale) .files').length === 1"
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
SHIFTED = """() => new Promise(told => new PerformanceObserver(list => told(
    list.getEntries().reduce((sum, one) => sum + one.value, 0))).observe({type: 'layout-shift', buffered: true})
    || setTimeout(() => told(0), 200))"""


def visit(browser: Any, url: str, size: tuple[int, int]) -> dict[str, float]:
    """One visit: milliseconds to the first paint and to the explanation, bytes as sent, requests, layout shift."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    sizes: list[int] = []
    page.on(
        "requestfinished",
        lambda one: sizes.append(sum(one.sizes()[key] for key in ("responseBodySize", "responseHeadersSize"))),
    )
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_function(EXPLAINED)
    explained = (time.perf_counter() - began) * 1e3
    told = {
        "first paint, ms": page.evaluate(PAINTED),
        "explained, ms": explained,
        "kB": sum(sizes) / 1e3,
        "requests": len(sizes),
        "layout shift": page.evaluate(SHIFTED),
    }
    context.close()
    return told


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, size in SIZES.items():
            found = [visit(browser, sys.argv[1], size) for _ in range(VISITS)]
            print(name, {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]})
        browser.close()


if __name__ == "__main__":
    main()
