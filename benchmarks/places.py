"""Where models and pictures lie: the digits ship with the project, SqueezeNet lies in a folder beside the checkout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
DIGITS = ROOT / "models" / "digits"
SQUEEZENET = SHARED / "models" / "squeezenet1_1"
WEIGHTS = SHARED / "data" / "squeezenet" / "squeezenet1_1.safetensors"
PHOTOGRAPHS = sorted((SHARED / "data" / "images").glob("*.jpg"))

MEDIA = {".png": "image/png", ".jpg": "image/jpeg"}

# A model folder, with the picture that its inputs are made from.
CASES = {"digits": (DIGITS, ROOT / "examples" / "3.png")}
if SQUEEZENET.is_dir() and PHOTOGRAPHS:
    CASES["SqueezeNet"] = (SQUEEZENET, PHOTOGRAPHS[0])


def variants(picture: Path, seed: int, number: int) -> list[bytes]:
    """So many files of the picture's own format, each with a little noise of its own: none was seen before."""
    with Image.open(picture) as opened:
        pixels, kind = np.asarray(opened, dtype=np.int16), opened.format
    source = np.random.default_rng(seed)
    files = [io.BytesIO() for _ in range(number)]
    for file in files:
        changed = np.clip(pixels + source.integers(-3, 4, pixels.shape), 0, 255)
        Image.fromarray(changed.astype(np.uint8)).save(file, kind)
    return [file.getvalue() for file in files]
