"""Models kept loaded: the least recently used leaves when their files outgrow the budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import structlog
import torch

from workers.engine.device import DeviceLost, device_lost, out_of_memory
from workers.engine.model.function import Function
from workers.explanation.errors import UnknownModel
from workers.jobs.records import Work
from workers.models.folder import Folder
from workers.models.loading import load
from workers.models.repository import ModelRepository, Read
from workers.runtime.execute.faults import client_error, contained
from workers.telemetry import metrics

log = structlog.get_logger()


class ModelCache:
    """The models of a folder, by digest; safe for threads.

    `budget`: bytes of model files to keep loaded; the model in use stays even where it alone is more. `read` says of
    folders what they are.
    """

    def __init__(self, models: Path, device: str, budget: int, read: Read) -> None:
        self.device = device
        self.budget = budget
        self.repository = ModelRepository(models, read)
        self._loaded: OrderedDict[str, tuple[Folder, Function]] = OrderedDict()
        self._lock = threading.RLock()
        self._loading = threading.Lock()  # one at a time; what is loaded is had meanwhile

    def model(self, work: Work) -> Function:
        """The model of a work, loaded where it is not; raises UnknownModel, InvalidFolder, PickledPayload."""
        folder = self.repository.find(work.job.model)
        if folder is None:
            raise UnknownModel(f"the model {work.model} has changed or gone since the request; ask again")
        return self.loaded(folder)

    def named(self, name: str) -> Function:
        """The model of that digest or name, loaded where it is not; raises as `model` does."""
        folder = self.repository.find(name)
        if folder is None:
            raise UnknownModel(f"the model {name} is not served here", pointer="/method")
        return self.loaded(folder)

    def each(self) -> Iterator[Function]:
        """Every model, loaded one after the other; a bad one is logged and left out."""
        for folder in self.repository.each():
            try:
                yield self.loaded(folder)
            except Exception as error:
                reason = client_error(error).detail
                log.error("a model cannot be served", model=folder.name, reason=reason)
                self.repository.fail(folder, reason)

    def names(self) -> list[str]:
        """Of the models loaded now."""
        with self._lock:
            return sorted(folder.name for folder, _ in self._loaded.values())

    def loaded(self, folder: Folder) -> Function:
        """The model of a folder, from memory where it is there."""
        if (model := self._found(folder)) is not None:
            return model
        with self._loading:
            if (model := self._found(folder)) is not None:
                return model
            model = self._load(folder)
            with self._lock:
                self._loaded[folder.digest] = folder, model
                while len(self._loaded) > 1 and sum(size(kept) for kept, _ in self._loaded.values()) > self.budget:
                    self._make_room()
        log.info("a model is loaded", model=folder.name)
        return model

    def _found(self, folder: Folder) -> Function | None:
        with self._lock:
            if folder.digest not in self._loaded:
                return None
            self._loaded.move_to_end(folder.digest)
            return self._loaded[folder.digest][1]

    def _load(self, folder: Folder) -> Function:
        """Load it; where memory is short, others make room."""
        while True:
            try:
                with contained(), metrics.LOADED.labels(folder.name).time():
                    return load(folder, self.device)
            except Exception as error:
                if device_lost(error, torch.device(self.device)):
                    raise DeviceLost(type(error).__name__) from error
                if not (self._loaded and out_of_memory(error)):
                    raise
            with self._lock:
                self._make_room()
            if self.device != "cpu":
                torch.cuda.empty_cache()

    def _make_room(self) -> None:
        digest, (folder, _) = self._loaded.popitem(last=False)
        metrics.UNLOADED.labels(folder.name).inc()
        log.info("a model makes room", model=folder.name, digest=digest)


def size(folder: Folder) -> int:
    """Bytes of the model's files on disk: about what its weights take in memory."""
    files = [folder.weights, folder.path / folder.source.file if folder.source.file else None]
    return sum(file.stat().st_size for file in files if file)
