"""Draws a dog and a cat, told apart, from a running Whence with SqueezeNet: a row per target, a column per method.

Use: python docs/draw_dog_and_cat.py PHOTOGRAPH [URL]. Only heatmaps are drawn: the photograph is not ours to give away.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image

ROOT = Path(__file__).parent
TARGETS = {"bull mastiff": 243, "tiger cat": 282}
# Of a logit, most is there whatever is hidden; of a probability, what speaks for another class counts against.
METHODS: tuple[dict[str, object], ...] = (
    {"name": "lime", "score": "probability"},
    {"name": "rise", "score": "probability"},
    {"name": "grad_cam"},
    {"name": "meaningful_perturbation"},
)
WIDTH = 420


def heatmap(client: httpx.Client, photograph: str, target: int, method: dict[str, object]) -> Image.Image:
    """The picture that Whence draws, narrowed to a column."""
    asked = client.post(
        "/api/v1/explanations",
        json={"model": "squeezenet1_1", "method": method, "target": target, "input": {"image": photograph}},
    ).raise_for_status()
    address = f"/api/v1/explanations/{asked.json()['id']}/heatmap.png"
    while (answer := client.get(address, params={"wait": 30})).status_code == httpx.codes.CONFLICT:
        pass  # not computed yet
    answer.raise_for_status()
    picture = Image.open(BytesIO(answer.content)).convert("RGB")
    return picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """The rows one below the other, each side by side."""
    height = max(picture.height for row in rows for picture in row)
    made = Image.new("RGB", (WIDTH * len(rows[0]), height * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            made.paste(picture, (WIDTH * across, height * down))
    return made


if __name__ == "__main__":
    seen, url = (
        b64encode(Path(sys.argv[1]).read_bytes()).decode(),
        sys.argv[2] if len(sys.argv) > 2 else "http://localhost:8000",
    )
    with httpx.Client(base_url=url, timeout=600) as whence:
        drawn = [[heatmap(whence, seen, target, method) for method in METHODS] for target in TARGETS.values()]
    sheet(drawn).save(ROOT / "pictures" / "dog_and_cat.png", optimize=True)
