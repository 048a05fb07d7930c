"""Draws the README's picture from a running Whence: one digit, five methods. Use: python docs/draw.py [URL]"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image

ROOT = Path(__file__).parent
METHODS = ("integrated_gradients", "lrp", "occlusion", "grad_cam")
WIDTH = 420


def heatmap(client: httpx.Client, digit: str, method: str) -> Image.Image:
    """The picture that Whence draws, narrowed to a column."""
    answer = client.post(
        "/api/v1/explanations",
        params={"model": "digits", "method": method, "target": digit},
        content=(ROOT.parent / "examples" / f"{digit}.png").read_bytes(),
        headers={"Content-Type": "image/png", "Accept": "image/png", "Prefer": "wait=30"},
    ).raise_for_status()
    picture = Image.open(BytesIO(answer.content)).convert("RGB")
    return picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """The pictures side by side."""
    made = Image.new("RGB", (WIDTH * len(pictures), max(p.height for p in pictures)), "white")
    for i, picture in enumerate(pictures):
        made.paste(picture, (i * WIDTH, 0))
    return made


if __name__ == "__main__":
    with httpx.Client(base_url=sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000", timeout=60) as whence:
        sheet([heatmap(whence, "4", method) for method in METHODS]).save(ROOT / "pictures" / "four.png", optimize=True)
