"""From a model's folder to a loaded model; nothing is unpickled, and no code runs but that of a module source."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from workers.archive import open_archive
from workers.engine.model import Model
from workers.engine.modules import build_module, load_weights
from workers.errors import InvalidFolder

if TYPE_CHECKING:
    from workers.folder import Folder

log = logging.getLogger(__name__)


def load(folder: Folder, device: str = "cpu") -> Model:
    """The model of a folder, on the device; raises InvalidFolder and PickledPayload, naming the folder."""
    program = load_program(folder)
    try:
        return Model.from_program(folder, program, device)
    except InvalidFolder as error:
        raise InvalidFolder(f"{folder.name}: {error.detail}") from None


def load_program(folder: Folder) -> ExportedProgram:
    """The exported program of a folder: read from its archive, or exported from its module with its weights."""
    if folder.source.kind == "archive":
        return read_program(folder)
    assert folder.weights is not None
    module = build_module(folder.source, folder.path, len(folder.labels) or None, folder.name)
    load_weights(module, folder.weights, f"{folder.name}/{folder.weights.name}")
    return export_module(module, folder.input.shape, folder.name)


def read_program(folder: Folder) -> ExportedProgram:
    """The program of a .pt2 archive, from a checked copy that holds nothing pickled."""
    where = f"{folder.name}/{folder.source.name}"
    with open_archive(folder.path / folder.source.name, where) as archive:
        copy = archive.copy()
    try:
        return torch.export.load(copy)
    except Exception as error:
        log.warning("torch.export.load failed on %s", where, exc_info=True)
        raise InvalidFolder(
            f"{where}: torch {torch.__version__} cannot read it ({type(error).__name__}); export the model again "
            "with this or an earlier torch"
        ) from None


def export_module(module: nn.Module, shape: tuple[int, ...], where: str) -> ExportedProgram:
    """The module's program for inputs (n, *shape), any n; for n = 1 alone, with a warning, where that is all it can."""
    module = module.eval().requires_grad_(False)
    _check_runs(module, shape, where)
    try:
        try:
            return torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=({0: Dim("batch")},))
        except Exception as error:
            program = torch.export.export(module, (torch.zeros(1, *shape),))
            log.warning("%s: its inputs run one at a time, for its batch axis cannot stay open: %s", where, error)
            return program
    except Exception as error:
        log.warning("torch.export.export failed on %s", where, exc_info=True)
        raise InvalidFolder(
            f"{where}: torch.export cannot trace the model for an input of the shape {list(shape)} "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from None


def _check_runs(module: nn.Module, shape: tuple[int, ...], where: str) -> None:
    """Raise InvalidFolder where the plain module does not take such an input: its own words are the clearest."""
    try:
        with torch.no_grad():
            module(torch.zeros(1, *shape))
    except Exception as error:
        raise InvalidFolder(
            f"{where}: the model does not run on an input of the shape {list(shape)}: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
