"""What a person does on the page, as Playwright does it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from tests.patience import PATIENCE_S

SEVEN = ((0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
DESKTOP = (1280, 800)
REFUSED = "status of 4"  # Chromium complains of each; which they were is known from the answers
TOO_LATE = ("DELETE", 409)  # what nobody wants any more is withdrawn, and may be done by then


class Site:
    """Whence's page in a browser; each visit is a new one, with nothing remembered."""

    def __init__(self, url: str, browser: Any) -> None:
        self.url = url
        self._browser = browser
        self._contexts: list[Any] = []
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.weight = 0
        self.refused: list[str] = []
        self.refusals = 0  # how many refusals of the API the test means to cause

    def visit(self, address: str = "/", size: tuple[int, int] = DESKTOP, **options: Any) -> Visit:
        context = self._browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._heard)
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(self.url + address if address.startswith("/") else address)
        page.wait_for_selector("#model option", state="attached")
        visit = Visit(self, page)
        if address == "/":  # it opens on an example
            visit.wait_for_results(1)
        return visit

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert [one for one in self.complaints if REFUSED not in one] == []
        assert (len(self.refused), self.refused) == (self.refusals, self.refused)
        assert [url for url in self.asked if not url.startswith((self.url, "blob:"))] == []

    def _heard(self, response: Any) -> None:
        self.asked.add(response.url)
        asked, status = response.request.method, response.status
        if 400 <= status < 500 and (asked, status) != TOO_LATE:
            self.refused.append(f"{asked} {response.url}: {status}")

    def numbers(self, key: str) -> NDArray[Any]:
        answer = httpx.get(f"{self.url}/api/v1/explanations/{key}/attribution.npy", trust_env=False, timeout=PATIENCE_S)
        found: NDArray[Any] = np.load(BytesIO(answer.raise_for_status().content))
        return found

    def status(self, key: str) -> str:
        status: str = httpx.get(f"{self.url}/api/v1/explanations/{key}", trust_env=False, timeout=PATIENCE_S).json()[
            "status"
        ]
        return status


class Visit:
    """One page that is looked at."""

    def __init__(self, site: Site, page: Any) -> None:
        self.site = site
        self.page = page

    def draw(self, strokes: Sequence[tuple[float, float]] = SEVEN) -> None:
        """A line through the places, which are shares of the pad."""
        self.page.wait_for_selector("#sketch")
        box = self.page.locator("#sketch").bounding_box()
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in strokes]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()

    def example(self, digit: int) -> None:
        self.page.click(f"[aria-label='Example: {digit}']")

    def choose(self, *methods: str) -> None:
        """By the search, as one does who knows the name; on a phone it is there with all of them."""
        folded = not self.page.is_visible("#search")
        if folded:
            self.page.click("#all")
        for method in methods:
            self.page.fill("#search", method)
            self.page.check(f"#m-{method}")
        self.page.fill("#search", "")
        if folded:
            self.page.click("#all")

    def parameter(self, method: str, name: str, value: str) -> None:
        field = f"#p-{method}-{name}"
        if not self.page.is_visible("#search"):
            self.page.click("#all")
        self.page.eval_on_selector(field, "field => { field.closest('details').open = true }")
        self.page.fill(field, value)
        self.page.press(field, "Tab")

    def wait_for_results(self, count: int) -> None:
        """Until so many explanations are here, and no others."""
        self.page.wait_for_function(
            "count => document.querySelectorAll('.cell:not(.stale) .files').length === count"
            " && document.querySelectorAll('.cell .waiting').length === 0",
            arg=count,
        )

    def cells(self) -> list[tuple[str, str]]:
        """Of each explanation, its title and target."""
        cells = self.page.locator(".cell:not(.stale):has(.files)")
        return [
            (cell.locator("h3").inner_text(), cell.locator("figcaption small").inner_text()) for cell in cells.all()
        ]

    def ids(self, column: str = "e") -> list[str]:
        """The explanations that the address names."""
        parts = dict(part.split("=") for part in self.page.url.partition("#")[2].split("&") if part)
        return str(parts.get(column, "")).split(".")

    def pressed(self) -> str:
        text: str = self.page.locator(".bars [aria-pressed=true] .label").inner_text()
        return text

    def pictures(self) -> list[str]:
        """The pixels of all maps."""
        canvases = self.page.locator(".cell > canvas").all()
        return [str(canvas.evaluate("one => one.toDataURL()")) for canvas in canvases]
