"""Whence's own digits on real servers: every method of the function alone says what it says of those that lie here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image

from tests.resources import in_memory
from tests.toys import batch_of
from tests.tree import ROOT
from tests.workers.models.servers.running import ABSENT, KSERVE, SCRIPTS, kserve, mlserver
from workers.engine.model.function import Function
from workers.explanation.target import ClassTarget
from workers.methods.method import parse_method
from workers.models.folder import read_folder
from workers.models.loading import load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        ABSENT is not None or not KSERVE.exists(), reason="there is no MLServer, or no KServe; `make servers`"
    ),
]
DIGITS = ROOT / "models" / "digits"
ROUGH: dict[str, Any] = {"name": "occlusion", "patch": 7}
OF = [ROUGH, {"name": "shapley_sampling", "samples": 4}]
METHODS: dict[str, dict[str, Any]] = {
    "predict": {}, "occlusion": {"patch": 7}, "kernel_shap": {"samples": 200}, "shapley_sampling": {"samples": 4},
    "lime": {"samples": 64}, "rise": {"masks": 40}, "prediction_difference": {"window": 7, "padding": 0, "samples": 2},
    "consensus": {"of": OF}, "smooth_grad": {"of": ROUGH, "samples": 3}, "pixel_flipping": {"of": OF, "steps": 6},
    "sensitivity_n": {"of": OF, "subsets": 6}, "compare": {"of": OF}, "continuity": {"of": [ROUGH], "steps": 2},
    "conservation": {"of": OF}, "minimal_deletion": {"of": OF}, "pointing_game": {"of": OF}, "box_ratio": {"of": OF},
    "temperature": {"dataset": "training"},
}  # fmt: skip


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Function]]:
    """The digits by server and protocol."""
    place = tmp_path_factory.mktemp("digits")
    folder = place / "mlserver" / "digits"
    folder.mkdir(parents=True)
    for file in (DIGITS / "net.py", DIGITS / "weights.safetensors", *SCRIPTS.glob("digits_*.py")):
        shutil.copy(file, folder)
    told = {"name": "digits", "implementation": "digits_runtime.Digits", "parameters": {"version": "1"}}
    (folder / "model-settings.json").write_text(json.dumps(told))
    with ExitStack() as stack:
        of_mlserver = stack.enter_context(mlserver(place / "mlserver"))
        of_kserve = stack.enter_context(kserve(folder / "digits_kserve.py", folder))
        yield {
            "MLServer": card(place / "a", f"open-inference:{of_mlserver}/v2/models/digits"),
            "KServe v2": card(place / "b", f"open-inference:{of_kserve}/v2/models/digits", version="1"),
            "KServe v2, binary": card(
                place / "c", f"open-inference:{of_kserve}/v2/models/digits", version="1", binary=True
            ),
            "KServe v1": card(place / "d", f"kserve:{of_kserve}/v1/models/digits", version="1"),
        }


def card(folder: Path, source: str, **remote: Any) -> Function:
    folder.mkdir()
    image = {"mode": "L", "resize": [28, 28], "scale": 1.0, "mean": [0.0], "std": [1.0]}
    spec = {"kind": "image", "shape": [1, 28, 28], "image": image}
    said = {"model": {"source": source, "output": "logits"}, "input": spec, "remote": remote}
    (folder / "card.toml").write_text(tomli_w.dumps(said))
    return load(read_folder(folder))


def drawn(*digits: int) -> torch.Tensor:
    files = [ROOT / "examples" / f"{digit}.png" for digit in digits]
    return torch.from_numpy(
        np.stack([np.asarray(Image.open(file).convert("L").resize((28, 28)), np.float32)[None] / 255 for file in files])
    )


def test_every_method_gives_what_it_gives_of_the_digits_that_lie_here(there: dict[str, Function]) -> None:
    """The greatest difference, relative to the largest value: a table of methods by servers."""
    here, table = load(read_folder(DIGITS)), {}
    # Where the digit is black a place loses a few of the score's last digits, and shares of that are as good as those.
    noise = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    row = 0.6 * drawn(7) + 0.4 * noise
    data = in_memory(drawn(*range(10)), np.arange(10), drawn(*range(10)) > 0.5)
    for method, parameters in METHODS.items():
        asked = parse_method({"name": method, **parameters})

        def explained(model: Function, asked: Any = asked) -> dict[str, Any]:
            batch = batch_of(row, ClassTarget(index=7), seeds=[3], resources=data)
            return dict(asked.explain(model, batch).rows()[0].arrays)

        near = explained(here)
        for server, model in there.items() if method in ("predict", "occlusion") else [("MLServer", there["MLServer"])]:
            far = explained(model)
            assert far.keys() == near.keys()
            table[method, server] = max(
                float(np.abs(far[key] - near[key]).max() / max(1e-12, np.abs(near[key]).max())) for key in near
            )
    for method in METHODS:
        cells = [f"{table[method, name]:.1e}" if (method, name) in table else "-" for name in there]
        print(f"{method:24}", *(f"{cell:>18}" for cell in cells))
    assert max(table.values()) < 1e-5, {key: value for key, value in table.items() if value >= 1e-5}


@pytest.mark.parametrize("digit", [2, 7])
def test_what_ranks_gives_the_same_of_a_digit_on_black(there: dict[str, Function], digit: int) -> None:
    """Half of its places lose nothing: their ranks would be those of rounding errors."""
    here, row = load(read_folder(DIGITS)), drawn(digit)
    of = ["occlusion", {"name": "shapley_sampling", "samples": 4}]
    for name in ("consensus", "compare", "selectivity", "pixel_flipping", "minimal_deletion", "pointing_game"):
        asked = parse_method({"name": name, "of": of})
        pair = [
            asked.explain(model, batch_of(row, ClassTarget(index=digit), seeds=[3])).rows()[0].arrays
            for model in (here, there["MLServer"])
        ]
        for key, near in pair[0].items():
            np.testing.assert_allclose(pair[1][key], near, rtol=0, atol=1e-5 * np.abs(near).max(), err_msg=name)
