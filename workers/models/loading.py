"""From a model's folder to a loaded model; nothing is unpickled, and no code runs but that of a module source."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from workers.engine.device import out_of_memory
from workers.engine.model.function import Function
from workers.engine.model.model import Model
from workers.explanation.errors import InvalidFolder, ModelError
from workers.models.archive.arguments import check_arguments
from workers.models.archive.entries import open_archive
from workers.models.archive.transforms import replace_transforms
from workers.models.export import comparison
from workers.models.export.from_code import build_module, load_weights
from workers.models.export.program import export_module
from workers.models.folder import Folder, text_reader
from workers.models.remote.predictor import load_remote

log = logging.getLogger(__name__)


def load(folder: Folder, device: str = "cpu") -> Function:
    """What a folder is to those who ask it: a model on the device, or the function that a server computes.

    Raises InvalidFolder and PickledPayload, naming the folder, and PredictorError.
    """
    if folder.source.remote:
        with _naming(folder):
            return load_remote(folder)
    return load_model(folder, device)


def load_model(folder: Folder, device: str = "cpu") -> Model:
    """The model of a folder that holds one; raises InvalidFolder and PickledPayload, naming the folder.

    One whose source is code is compared with what was exported of it, where an input for that can be guessed.
    """
    model = _loaded(folder, device)
    if (rows := folder.background_rows()) is not None:
        model.background = torch.from_numpy(rows).to(model.device)
    return model


def _loaded(folder: Folder, device: str) -> Model:
    if folder.source.kind == "archive":
        return _model(folder, read_program(folder), device)
    module = _module(folder)
    program = export_module(module, folder.fed, folder.name, select=folder.select)
    try:
        x = sample(module, folder, program)
    except InvalidFolder as error:
        log.warning("%s; what is served was not compared with the module", error.detail)
    else:
        compare(module, folder, program, x)
    return _model(folder, program, device)


def load_program(folder: Folder) -> ExportedProgram:
    """The exported program of a folder: read from its archive, or exported from its module with its weights."""
    if folder.source.kind == "archive":
        return read_program(folder)
    return export_module(_module(folder), folder.fed, folder.name, select=folder.select)


def sample(module: nn.Module, folder: Folder, program: ExportedProgram, example: Tensor | None = None) -> Tensor:
    """The example (n, *shape), or (n, numbers) of several inputs, else plausible inputs.

    Raises InvalidFolder where the module gives no finite numbers.
    """
    with _naming(folder):
        model = Model.from_program(folder, program)
        return comparison.sample(comparison.called(module, model, program), model, program, example)


def compare(module: nn.Module, folder: Folder, program: ExportedProgram, x: Tensor) -> None:
    """Raise InvalidFolder where a program's outputs or gradients on x (n, *shape) are not its module's."""
    with _naming(folder):
        model = Model.from_program(folder, program)
        comparison.check(comparison.called(module, model, program), model, program, x)


@contextmanager
def _naming(folder: Folder) -> Iterator[None]:
    try:
        yield
    except InvalidFolder as error:
        raise InvalidFolder(f"{folder.name}: {error.detail}") from None


def _model(folder: Folder, program: ExportedProgram, device: str) -> Model:
    with _naming(folder):
        try:
            model = Model.from_program(folder, program, device)
            model.tokenizers = {
                name: text_reader(file, folder.named[name], folder.name) for name, file in folder.tokenizers.items()
            }
            return model
        except ModelError:
            raise
        except Exception as error:
            if torch.device(device).type != "cpu" or out_of_memory(error):
                raise
            log.warning("the graph of %s does not run", folder.name, exc_info=True)
            words = (str(error).strip().splitlines() or [""])[0][:200]
            raise InvalidFolder(f"its graph does not run ({type(error).__name__}: {words}); export it again") from None


def _module(folder: Folder) -> nn.Module:
    assert folder.weights is not None
    module = build_module(folder.source, folder.path, len(folder.labels) or None, folder.name)
    load_weights(module, folder.weights, f"{folder.name}/{folder.weights.name}")
    return module


def read_program(folder: Folder) -> ExportedProgram:
    """The program of a .pt2 archive, from a checked copy that holds nothing pickled."""
    where = f"{folder.name}/{folder.source.name}"
    with open_archive(folder.path / folder.source.name, where) as archive:
        copy = archive.copy()
    try:
        program = torch.export.load(copy)
    except Exception as error:
        log.debug("torch.export.load failed on %s", where, exc_info=True)
        raise InvalidFolder(
            f"{where}: torch {torch.__version__} cannot read it ({type(error).__name__}); export the model again "
            "with this or an earlier torch"
        ) from None
    check_arguments(program, where)
    replace_transforms(program, where)
    return program
