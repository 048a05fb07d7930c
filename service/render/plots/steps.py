"""The steps of a waterfall, and of which results there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 20
VISIBLE = 1e-3  # of the longest step: what is less is not told
COMPLETE = "completeness"


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: what it is called, and from where to where it leads."""

    name: str
    start: float
    end: float


def suits(meta: Mapping[str, Any]) -> bool:
    """Whether there is one number a feature, and they are to sum to the score less that of the baseline."""
    about = meta.get("attribution") or {}
    return len(about.get("shape", (0, 0))) == 1 and check(meta) is not None and score_of(meta) is not None


def steps(values: NDArray[np.float64], labels: Sequence[str], start: float, score: float) -> list[Step]:
    """From the start by each value, the strongest first, then by all that are left, and by what nothing explains."""
    order = np.argsort(-np.abs(values), kind="stable")
    parts = [(labels[one], float(values[one])) for one in order[:MOST].tolist()]
    if len(values) > MOST:
        parts.append((f"{len(values) - MOST} others", float(values[order[MOST:]].sum())))
    found = []
    for name, value in parts:
        found.append(Step(name, start, start + value))
        start += value
    if abs(score - start) > VISIBLE * max([abs(step.end - step.start) for step in found], default=0.0):
        found.append(Step("not attributed", start, score))
    return found


def check(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """That of completeness."""
    return next((one for one in meta.get("checks", ()) if one["name"] == COMPLETE), None)


def score_of(meta: Mapping[str, Any]) -> float | None:
    """What the values are to lead to: the score that the method explains; None where it is not told."""
    told, asked = meta.get("explained") or {}, meta["method"].get("score", "logit")
    found = told.get({"logit": "score", "probability": "probability"}.get(asked, ""))
    return None if found is None else float(found)
