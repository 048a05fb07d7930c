"""Modules from code: a factory's, or an architecture of torchvision, timm or transformers; weights by safetensors."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from workers.errors import InvalidFolder
from workers.source import Source

SHOWN = 3


def build_module(source: Source, folder: Path, classes: int | None, where: str) -> nn.Module:
    """The module of a source, its weights not yet loaded; raises InvalidFolder where it cannot be built.

    `classes`: how many the labels name, for the libraries' architectures; nothing is downloaded.
    """
    builders: dict[str, Callable[[], Any]] = {
        "python": lambda: _from_python(source, folder),
        "torchvision": lambda: _from_torchvision(source.name, classes),
        "timm": lambda: _from_timm(source.name, classes),
        "transformers": lambda: _from_transformers(source.name, folder, classes),
    }
    try:
        module = builders[source.kind]()
    except ModuleNotFoundError as error:
        raise InvalidFolder(
            f"{where}: the source {source} needs the package {error.name}, which is not installed; install it, "
            "or export the model to a .pt2 where it is"
        ) from None
    except Exception as error:
        raise InvalidFolder(f"{where}: the source {source} failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise InvalidFolder(f"{where}: the source {source} gave no torch.nn.Module; it should return the model")
    return module.eval()


def load_weights(module: nn.Module, file: Path, where: str) -> None:
    """Fill the module from a safetensors file, each tensor by name and shape; raises InvalidFolder naming the wrong."""
    try:
        given = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InvalidFolder(f"{where}: it is no safetensors file ({type(error).__name__})") from None
    expected = module.state_dict()
    if mis_shaped := [name for name in given if name in expected and given[name].shape != expected[name].shape]:
        told = [f"{n} is {list(given[n].shape)}, should be {list(expected[n].shape)}" for n in mis_shaped[:SHOWN]]
        raise InvalidFolder(f"{where}: {len(mis_shaped)} tensors have another shape than the model: {'; '.join(told)}")
    missing, extra = module.load_state_dict(_tied(module, given), strict=False)
    if missing:
        raise InvalidFolder(f"{where}: {len(missing)} tensors of the model are missing: {_some(missing)}")
    if extra:
        raise InvalidFolder(f"{where}: {len(extra)} tensors are not of the model: {_some(extra)}")


def _tied(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with every name of a shared one: safetensors stores a shared tensor under one name alone."""
    names = {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}
    by_identity = {names[name]: value for name, value in given.items() if name in names}
    return {**{name: by_identity[key] for name, key in names.items() if key in by_identity}, **given}


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def _from_python(source: Source, folder: Path) -> Any:
    code = _module_file(folder / source.file) if source.file is not None else importlib.import_module(source.name)
    if not hasattr(code, source.factory):
        raise AttributeError(f"{source.name} has no {source.factory}")
    return getattr(code, source.factory)()


def _module_file(file: Path) -> ModuleType:
    """The module of a file, under a name of its own: two folders may each have a net.py."""
    name = f"whence_model_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_torchvision(name: str, classes: int | None) -> Any:
    models = importlib.import_module("torchvision.models")
    return models.get_model(name, weights=None, **({"num_classes": classes} if classes else {}))


def _from_timm(name: str, classes: int | None) -> Any:
    timm = importlib.import_module("timm")
    return timm.create_model(name, pretrained=False, **({"num_classes": classes} if classes else {}))


def _from_transformers(name: str, folder: Path, classes: int | None) -> Any:
    """By config.json in the folder, else by the library's own cache: the architecture alone, no download."""
    transformers = importlib.import_module("transformers")
    where = folder if (folder / "config.json").is_file() else name
    settings = {"num_labels": classes} if classes else {}
    config = transformers.AutoConfig.from_pretrained(where, local_files_only=True, **settings)
    model = transformers.AutoModelForImageClassification.from_config(config)
    model.register_forward_hook(lambda _module, _inputs, output: output.logits)
    return model
