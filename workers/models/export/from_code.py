"""Modules from code: a factory's, or an architecture of torchvision, timm or transformers; weights by safetensors."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from workers.explanation.errors import InvalidFolder
from workers.models.export.importing import from_python, reason
from workers.models.export.tracebacks import place_of
from workers.models.source import Source

SHOWN = 3

log = logging.getLogger(__name__)


def build_module(source: Source, folder: Path, classes: int | None, where: str) -> nn.Module:
    """The module of a source, its weights not yet loaded; raises InvalidFolder where it cannot be built.

    `classes`: how many the labels name, for the libraries' architectures; nothing is downloaded.
    """
    builders: dict[str, Callable[[], Any]] = {
        "python": lambda: from_python(source, folder),
        "torchvision": lambda: _from_torchvision(source.name, classes),
        "timm": lambda: _from_timm(source.name, classes),
        "transformers": lambda: _from_transformers(source.name, folder, classes),
    }
    try:
        module = builders[source.kind]()
    except Exception as error:
        log.debug("the source %s failed", source, exc_info=True)
        raise InvalidFolder(f"{where}: the source {source} {reason(error, source)}") from None
    except SystemExit as error:
        raise InvalidFolder(
            f"{where}: the source {source} ends the process{place_of(error)}; put what is for the command line below "
            'if __name__ == "__main__":'
        ) from None
    if not isinstance(module, nn.Module):
        raise InvalidFolder(f"{where}: the source {source} gave no torch.nn.Module{_instead(module)}")
    return _unwrapped(module).eval()


def _instead(given: Any) -> str:
    """What was given, and what would be right."""
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f", but the class {given.__name__}; it should return {given.__name__}(...)"
    if isinstance(given, Mapping) and given and all(isinstance(value, Tensor) for value in given.values()):
        return ", but a table of weights; it should return the model, and --weights give a safetensors file of them"
    return f", but {type(given).__name__}; it should return the model"


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module within DataParallel, DistributedDataParallel and torch.compile."""
    while isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(module, "_orig_mod"):
        module = module._orig_mod if hasattr(module, "_orig_mod") else module.module  # type: ignore[assignment]
    return module


def load_weights(module: nn.Module, file: Path, where: str) -> None:
    """Fill the module from a safetensors file, each tensor by name and shape; raises InvalidFolder naming the wrong."""
    try:
        given = load_file(file)
    except (SafetensorError, OSError) as error:
        raise InvalidFolder(f"{where}: it is no safetensors file ({type(error).__name__})") from None
    given = _without_wrapper(given, module)
    expected = {name: value for name, value in module.state_dict().items() if not is_lazy(value)}
    if mis_shaped := [name for name in given if name in expected and given[name].shape != expected[name].shape]:
        told = [f"{n} is {list(given[n].shape)}, should be {list(expected[n].shape)}" for n in mis_shaped[:SHOWN]]
        raise InvalidFolder(f"{where}: {len(mis_shaped)} tensors have another shape than the model: {'; '.join(told)}")
    missing, extra = module.load_state_dict(_tied(module, given), strict=False)
    if missing:
        raise InvalidFolder(f"{where}: {len(missing)} tensors of the model are missing: {_some(missing)}")
    if extra:
        raise InvalidFolder(f"{where}: {len(extra)} tensors are not of the model: {_some(extra)}")


def _without_wrapper(given: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The tensors without the prefix that DataParallel or torch.compile put before every name."""
    for prefix in ("module.", "_orig_mod."):
        if given and all(name.startswith(prefix) for name in given) and not hasattr(module, prefix[:-1]):
            given = {name.removeprefix(prefix): value for name, value in given.items()}
    return given


def _tied(module: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with every name of a shared one: safetensors stores a shared tensor under one name alone."""
    names = {name: id(value) for name, value in module.state_dict(keep_vars=True).items()}
    by_identity = {names[name]: value for name, value in given.items() if name in names}
    return {**{name: by_identity[key] for name, key in names.items() if key in by_identity}, **given}


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


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
