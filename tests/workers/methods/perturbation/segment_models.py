"""What the tests of segments and shared_passes share."""

from __future__ import annotations

METHODS = ["lime", "kernel_shap", "shapley_sampling", "rise"]
FEW = {
    "lime": {"samples": 40},
    "kernel_shap": {"samples": 400},
    "shapley_sampling": {"samples": 4},
    "rise": {"masks": 40},
}
