"""The picture of a stored attribution: which drawing suits its shape, and what its caption says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.render import by_axes
from service.render.axis_kinds import Layout
from service.render.colormaps import Pixels
from service.render.frame import Caption
from service.render.heatmap import draw_map
from service.render.input_mask import draw_mask, draw_outlines, draw_scaled
from service.render.plots.bars import draw_bars
from service.render.plots.projection import draw_projection
from service.render.plots.waterfall import draw_waterfall
from service.render.style import Look, Picture
from service.render.text import number
from service.render.tokens import draw_texts
from workers.contract import decode_npy

_ON_INPUT = {"scaled": draw_scaled, "mask": draw_mask, "outlines": draw_outlines}
_BY_AXES = {"series": by_axes.series, "tokens": by_axes.tokens, "slices": by_axes.slices}
_LUMA = np.array([0.299, 0.587, 0.114])


def draw(picture: Picture, meta: Mapping[str, Any], arrays: Sequence[bytes], look: Look) -> bytes:
    """PNG bytes; `arrays` are the attribution and the input as .npy bytes. What is no image has one picture.

    Raises InvalidParameter where the look would hide the sign, and where a waterfall would not end at the score.
    """
    if meta.get("texts"):
        return draw_texts(meta["texts"], look, caption(meta), token_explained(meta))
    attribution, seen = (decode_npy(data) for data in arrays)
    layout = Layout.of(meta)
    suited = layout.suited(attribution.ndim)
    if picture == "waterfall":
        return draw_waterfall(attribution, layout.valued(seen), meta, caption(meta))
    if suited == "bars":
        return draw_bars(np.atleast_1d(attribution), look, caption(meta), layout.names)
    if suited in _BY_AXES and seen.ndim == attribution.ndim:
        return _BY_AXES[suited](attribution, seen, layout, look, caption(meta))
    if picture == "projection":
        return draw_projection(attribution, look, caption(meta))
    if picture in _ON_INPUT:
        return _ON_INPUT[picture](attribution, look, caption(meta), colour_levels(seen, attribution.shape[-2:]))
    return draw_map(picture, attribution, look, caption(meta), gray_levels(seen, attribution.shape[-2:]))


def colour_levels(seen: NDArray[Any], plane: tuple[int, ...]) -> Pixels:
    """The input as (h, w, 3): an image as it is, a tensor (3, H, W) from 0 to 255 by its range, another in grey."""
    if seen.dtype == np.uint8 and seen.ndim == 3 and seen.shape[2] == len(_LUMA):
        return seen
    if seen.ndim == 3 and seen.shape[0] == len(_LUMA):
        return np.moveaxis(_ranged(np.asarray(seen, np.float32)), 0, -1)
    return np.repeat(gray_levels(seen, plane)[..., None], len(_LUMA), axis=-1)


def gray_levels(seen: NDArray[Any], plane: tuple[int, ...]) -> Pixels:
    """The input as (h, w) grey levels: uint8 (H, W, 3) by luma, a tensor (..., H, W) by its mean from 0 to 255."""
    if seen.dtype == np.uint8 and seen.ndim == 3 and seen.shape[2] == len(_LUMA):
        return np.asarray((seen @ _LUMA).round(), np.uint8)
    flat = np.asarray(seen, np.float32).reshape(-1, *seen.shape[-2:]).mean(axis=0) if seen.ndim > 1 else np.zeros(plane)
    return _ranged(flat)


def _ranged(values: NDArray[np.floating]) -> Pixels:
    span = float(np.ptp(values)) or 1.0
    return np.asarray(((values - values.min()) / span * 255).round(), np.uint8)


def caption(meta: Mapping[str, Any]) -> Caption:
    """Method and target with its score; the model beneath. Of a panel for one of several inputs, what is said of it."""
    if "panel" in meta:
        return Caption(*meta["panel"])
    method = meta["method"]
    inner = method.get("of")
    name = f"{method['name']} of {inner['name']}" if isinstance(inner, Mapping) else method["name"]
    return Caption(f"{name}: {target_text(meta)}{_score(meta)}", f"model {meta['model']['name']}")


def target_text(meta: Mapping[str, Any]) -> str:
    """The target in words: class 7 (seven), unit 3 of conv1, output 2; without one, what the method says."""
    if meta.get("target") is None and (about := (meta.get("info") or {}).get("about")):
        return str(about)
    target = meta.get("target") or {}
    label = target.get("label")
    if "reduce" in target:
        return f"{target['reduce']} of the outputs"
    if target.get("kind") == "element":
        first, *places = target["index"] if label else (", ".join(map(str, target["index"])),)
        place = f"token {places[0]} ({target['token']})" if "token" in target else ", ".join(map(str, places))
        return f"output {label or first}" + (f" at {place}" if places else "")
    if "layer" in target:
        word = next((key for key in ("channel", "token") if key in target), None)
        place = f"{word} {target[word]}" if word else f"unit {list(target['index'])}"
        return f"{place} of {target['layer']}"
    if "index" in target:
        name = f"class {target['index']}" + (f" ({label})" if label not in (None, str(target["index"])) else "")
        return f"{name} in a mask" if "mask" in target else name
    return "output"


def token_explained(meta: Mapping[str, Any]) -> int | None:
    """The place of the token whose output was explained."""
    target = meta.get("target") or {}
    return target["index"][-1] if target.get("kind") == "element" and "token" in target else None


def _score(meta: Mapping[str, Any]) -> str:
    found = meta.get("explained") or _predicted(meta)
    if found is None:
        return ""
    share = found.get("probability")
    return f", score {number(found['score'])}" + (f", p {number(share)}" if share is not None else "")


def _predicted(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the prediction says of the target's class, in results from before they told what was explained."""
    target = meta.get("target") or {}
    wanted = target.get("index") if target.get("kind") == "class" else None
    return next((top for top in meta.get("prediction", ()) if top["index"] == wanted), None)
