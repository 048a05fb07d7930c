"""What a running synthesis has made so far, as a picture."""

import numpy as np
from safetensors.numpy import load

from service.queue.orders import Status
from service.render.frame import Caption
from service.render.style import DEFAULT_LOOK
from service.render.synthesis import draw_synthesis
from workers.contract import PREVIEW, ImageSpec


def draw_preview(stored: bytes, status: Status, spec: ImageSpec | None) -> bytes:
    """PNG bytes; `stored` is what the worker keeps of it, as safetensors."""
    made = load(stored)[PREVIEW]
    progress = status.progress
    so_far = f"{progress.done} of {progress.total} {progress.unit}" if progress else "begun"
    caption = Caption(f"in the making: {so_far}", f"model {status.model}")
    return draw_synthesis(made, np.zeros((len(made), 0), np.float32), spec, DEFAULT_LOOK, caption)
