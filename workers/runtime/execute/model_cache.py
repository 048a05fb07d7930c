"""Models kept loaded: loaded when first asked for, and the least recently used leaves when they outgrow the budget."""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Collection
from contextlib import nullcontext

import structlog
import torch

from workers.engine.device import DeviceLost, device_lost, out_of_memory
from workers.engine.model.function import Function
from workers.explanation.card import FULL, Precision
from workers.explanation.errors import ModelAway, UnknownModel
from workers.jobs.profile import models_of
from workers.jobs.work import Work
from workers.models.folder import Folder
from workers.models.kept_cards import Whole
from workers.models.loading import load
from workers.models.reading import signature
from workers.models.repository import ModelRepository
from workers.runtime.execute.faults import contained
from workers.runtime.supervise import heap
from workers.telemetry import metrics

log = structlog.get_logger()


class ModelCache:
    """The models of a repository, by digest; safe for threads.

    `budget`: bytes of model files to keep loaded; the model in use stays even where it alone is more. `precisions` are
    those that works may ask for.
    """

    def __init__(
        self, repository: ModelRepository, device: str, budget: int, precisions: Collection[Precision] = (FULL,)
    ) -> None:
        self.device = device
        self.precisions = precisions
        self.budget = budget
        self.repository = repository
        self._loaded: OrderedDict[str, tuple[Folder, Function]] = OrderedDict()
        self._lock = threading.RLock()
        self._loading = threading.Lock()  # one at a time; what is loaded is had meanwhile
        repository.holder = self

    def prepare(self) -> None:
        """Have torch import what it needs for a model; who asks for one waits, for it exports one net at a time."""
        with self._loading:
            importlib.import_module("workers.models.export.warm_up")

    def model(self, work: Work) -> Function:
        """The model of a work in its precision, loaded where it is not.

        Raises ModelAway, InvalidFolder, PickledPayload.
        """
        whole = self.repository.find(work.job.model)
        if whole is None:
            raise ModelAway(f"this version of {work.model} is served here no more")
        if work.job.precision not in self.precisions:
            raise ModelAway(f"{work.model} is not computed in {work.job.precision} here")
        return self.loaded(whole).at(work.job.precision)

    def named(self, name: str) -> Function:
        """The model of that digest or name, loaded where it is not; raises UnknownModel, and as `model` does."""
        whole = self.repository.named(name)
        if whole is None:
            raise UnknownModel(f"the model {name} is not served here", pointer="/method")
        return self.loaded(whole)

    def elsewhere(self, work: Work) -> bool:
        """Whether a server computes the model of a work, or one that its method names."""
        found = map(self.repository.find, models_of(work.job))
        return any(whole.folder.source.remote for whole in found if whole is not None)

    def sizes(self) -> dict[str, int]:
        """Bytes of the models loaded now, by digest."""
        with self._lock:
            return {digest: size(folder) for digest, (folder, _) in self._loaded.items()}

    def holds(self, digest: str) -> bool:
        """Whether it is loaded now."""
        return digest in self._loaded

    def forget(self, digest: str) -> None:
        """Let go of a model that is served no more."""
        with self._lock:
            if self._loaded.pop(digest, None) is not None:
                heap.thaw()

    def loaded(self, whole: Whole) -> Function:
        """The model of a folder, from memory where it is there; raises ModelAway where its files have changed since."""
        digest = whole.folder.digest
        if (model := self._found(whole)) is not None:
            return model
        # A server that is slow keeps nobody waiting.
        with nullcontext() if whole.folder.source.remote else self._loading:
            if (model := self._found(whole)) is not None:
                return model
            model = self._unchanged(whole)
            with self._lock:
                self._loaded[digest] = whole.folder, model
                while len(self._loaded) > 1 and sum(self.sizes().values()) > self.budget:
                    self._make_room()
                metrics.MODELS.set(len(self._loaded))
        log.info("a model is loaded", model=whole.folder.name)
        return model

    def _unchanged(self, whole: Whole) -> Function:
        folder = whole.folder
        try:
            model = self._load(folder)
        except Exception:
            if signature(folder.path) == whole.signature:
                raise
        else:
            if signature(folder.path) == whole.signature:
                return model
        self.repository.drop(folder.digest)
        raise ModelAway(f"the files of {folder.name} have changed")

    def _found(self, whole: Whole) -> Function | None:
        """From memory; with the labels that the folder has now, which are no part of its digest."""
        digest = whole.folder.digest
        with self._lock:
            if digest not in self._loaded:
                return None
            self._loaded.move_to_end(digest)
            model = self._loaded[digest][1]
            if model.card.labels != whole.card.labels:
                model.card = model.card.model_copy(update={"labels": whole.card.labels})
            return model

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
        """The least recently used goes; first of those whose files are still there, for they can be had again."""
        *others, newest = self._loaded
        digest = next((one for one in others if not self.repository.pinned(one)), others[0] if others else newest)
        folder, _ = self._loaded.pop(digest)
        heap.thaw()
        metrics.UNLOADED.labels(folder.name).inc()
        log.info("a model makes room", model=folder.name, digest=digest)


def size(folder: Folder) -> int:
    """Bytes of the model's files on disk: about what its weights take in memory."""
    files = [folder.weights, folder.path / folder.source.file if folder.source.file else None]
    return sum(file.stat().st_size for file in files if file is not None and file.exists())
