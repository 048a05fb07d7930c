"""Files that hold a model in another form: what to write so that it can be exported."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workers.explanation.errors import InvalidFolder

PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "module", "weights")
FACTORY = """\
import torch; from mynet import Net  # mynet.py: the class of your model
def build():
    net = Net(); net.load_state_dict({weights}); return net"""


def refuse_file(text: str) -> None:
    """Raise InvalidFolder, with a factory that works, for a source that is a file of weights or of TorchScript."""
    file = Path(text)
    if file.suffix == ".safetensors":
        raise InvalidFolder(
            f"{text} holds weights alone: name what makes the model, and give them by --weights, as in whence export "
            f"python:net.py:build --weights {text}"
        )
    if file.suffix not in PICKLED or ":" in text:
        return
    if not file.is_file():
        raise InvalidFolder(f"SOURCE: there is no file {text}")
    what, weights = _contents(file)
    raise InvalidFolder(
        f"{text} is {what}, which holds no Python module that torch.export could follow. Write these three lines into "
        f"net.py, with your model's own class:\n\n{FACTORY.format(weights=weights)}\n\n"
        "and then: whence export python:net.py:build --out models/NAME --shape ..."
    )


def _contents(file: Path) -> tuple[str, str]:
    """What a file of torch.save or torch.jit.save holds, and the expression for its weights."""
    if zipfile.is_zipfile(file) and any("/code/" in name for name in zipfile.ZipFile(file).namelist()):
        return "TorchScript", f'torch.jit.load("{file}").state_dict()'
    try:
        held: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # pickle's, zipfile's or torch's own
        return "a pickled module", f'torch.load("{file}", weights_only=False).state_dict()'
    load = f'torch.load("{file}", weights_only=True)'
    if not isinstance(held, Mapping):
        return f"a {type(held).__name__}", load
    if any(isinstance(value, Tensor) for value in held.values()):
        return "a table of weights (a state dict)", load
    key = next((key for key in (*WRAPPERS, *held) if isinstance(held.get(key), Mapping)), None)
    return "a checkpoint", load if key is None else f'{load}["{key}"]'
