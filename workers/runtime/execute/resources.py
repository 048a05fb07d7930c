"""What a worker gives a batch besides its rows: datasets as the model's input, and results of held methods."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from redis.exceptions import RedisError
from torch import Tensor

from workers.datasets.card import DatasetCard, check_fits
from workers.datasets.contents import Contents, sent
from workers.datasets.library import Datasets
from workers.engine.copies import ahead, moved, stacked
from workers.engine.model.batch import Report
from workers.engine.model.resources import ItemExplanation, Items
from workers.explanation.card import ImageSpec, InputSpec
from workers.explanation.errors import ExplainError, InputError, InvalidDataset, InvalidParameter
from workers.explanation.images.decoding import prepare
from workers.explanation.inputs import ONE, laid
from workers.explanation.names.dataset_classes import Classes, classes_for
from workers.explanation.target import Target
from workers.explanation.tensors import as_float32
from workers.jobs.job import Job
from workers.jobs.partials import Partials
from workers.jobs.records import REMEMBERED_S
from workers.jobs.stored_results import Results
from workers.jobs.work import Work
from workers.methods.blame import blamed
from workers.methods.method import Method, with_datasets
from workers.runtime.execute.given_inputs import GivenInputs, Read, nowhere
from workers.runtime.execute.item_explanations import ItemExplanations
from workers.runtime.execute.model_inputs import decoded
from workers.runtime.execute.run import run
from workers.runtime.lease import BatchReport

if TYPE_CHECKING:
    from workers.engine.model.function import Function

Arrays = Mapping[str, NDArray[Any]]
NONE: Classes = MappingProxyType({})
KEPT_BYTES = 512 * 2**20
LOOK_S = 0.3  # how often it is looked whether another worker is done

log = structlog.get_logger()


class Stock:
    """Datasets and results of held methods, for every batch of one worker."""

    def __init__(
        self,
        datasets: Datasets,
        results: Results,
        partials: Partials,
        named: Callable[[str], Function],
        read: Read = nowhere,
    ) -> None:
        self.datasets = datasets
        self.results = results
        self.partials = partials
        self.named = named
        self.inputs = GivenInputs(read)
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, Arrays] = OrderedDict()
        self._failed: dict[str, tuple[float, InputError]] = {}

    def of(self, model: Function, report: Report, job_id: str | None, classes: Classes = NONE) -> Supplied:
        """The resources of a batch, which tell its report how far they are; `job_id` of a job that runs alone.

        `classes` are those of its jobs.
        """
        return Supplied(self, model, report, job_id, classes)

    def find(self, job_id: str) -> Arrays | None:
        """The arrays of a finished job, from memory or from the store."""
        with self._lock:
            if job_id in self._recent:
                self._recent.move_to_end(job_id)
                return self._recent[job_id]
        try:
            stored = self.results.arrays(job_id)
        except RedisError as away:
            log.warning("a held result could not be looked up; it is computed", job=job_id, error=type(away).__name__)
            return None
        return None if stored is None else self._remembered(job_id, stored)

    def obtain(self, model: Function, job: Job, report: Report) -> Arrays:
        """The arrays of a job of this model: computed now, or awaited where another worker computes it already."""
        if not isinstance(report, BatchReport):
            return self.compute(model, job, report)
        with report.aside():
            while True:
                with report.lease.leading(job.id) as leads:
                    if leads:
                        found = self.find(job.id)
                        return found if found is not None else self.compute(model, job, report)
                report(0, 1, "fits of another worker")
                time.sleep(LOOK_S)

    def compute(self, model: Function, job: Job, report: Report) -> Arrays:
        """The arrays of a job of this model, computed now, and kept under its id; raises what the job fails with."""
        now = time.time()
        failed_at, failure = self._failed.get(job.id, (0.0, None))
        if failure is not None and now - failed_at < REMEMBERED_S:
            # Else a batch that is split to find the row to blame would try again for each.
            raise type(failure)(failure.detail, pointer=failure.pointer, alternatives=failure.alternatives)
        work = Work(job.id, job, model.card.name, now, now)
        ((_, outcome),) = run([work], lambda _: model, lambda _: report, self.of)
        if isinstance(outcome, InputError):
            known = {one: told for one, told in self._failed.items() if now - told[0] < REMEMBERED_S}
            # Its traceback holds the batch's tensors.
            self._failed = {**known, job.id: (now, outcome.with_traceback(None))}
        if isinstance(outcome, ExplainError):
            raise outcome
        try:
            self.results.save(job.id, outcome)
        except RedisError as away:
            log.error("a held result could not be kept", job=job.id, error=type(away).__name__)
        return self._remembered(job.id, outcome.arrays)

    def _remembered(self, job_id: str, files: Mapping[str, bytes]) -> Arrays:
        found = {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in files.items()}
        with self._lock:
            self._recent[job_id] = found
            while len(self._recent) > 1 and sum(map(size, self._recent.values())) > KEPT_BYTES:
                self._recent.popitem(last=False)
        return found


def size(arrays: Arrays) -> int:
    """In bytes."""
    return sum(array.nbytes for array in arrays.values())


@dataclass(frozen=True)
class Supplied:
    """The resources of one batch: datasets fit its model, and whoever iterates one tells the batch's report."""

    stock: Stock
    own: Function
    report: Report
    job_id: str | None
    classes: Classes

    def dataset(self, name: str) -> ModelDataset:
        """Raises UnknownDataset, InvalidDataset."""
        card = self.stock.datasets.card(name)
        check_fits(card, (self.own.any_size or self.own).takes, "/method")
        contents = self.stock.datasets.contents(card)
        return ModelDataset(card, contents, self.own, self.report, self.classes.get(card.digest, ()))

    def model(self, name: str) -> Function:
        """Raises UnknownModel."""
        return self.stock.named(name)

    def given(self, digest: str) -> Tensor:
        """As Resources.given."""
        return self.stock.inputs.of(self.own, digest)

    def explanations(
        self, model: Function, method: Method, target: Target | None, name: str, start: int, stop: int
    ) -> Iterator[list[ItemExplanation]]:
        """As Resources.explanations."""
        whole = model.any_size or model
        return ItemExplanations(
            whole,
            self.dataset(name).contents,
            method,
            target,
            self._classes(whole, method),
            self.stock.results,
            lambda works, report: run(works, lambda _: whole, lambda _: report, self.stock.of),
            self.report,
        )(start, stop)

    def saved(self, phase: str) -> Arrays | None:
        """Of an earlier try of the job, where it runs alone."""
        return self.stock.partials.saved(self.job_id, phase) if self.job_id else None

    def save(self, phase: str, arrays: Arrays) -> None:
        """For another worker, should this one die."""
        if self.job_id:
            self.stock.partials.save(self.job_id, phase, arrays)

    def state(self, model: Function, method: Method) -> Arrays:
        """Computed by this worker where it is not stored; raises InvalidParameter for a method that takes an input."""
        if method.takes_input:
            raise InvalidParameter(f"{method.name} explains an input; it cannot be held here", pointer="/method")
        if model.any_size is not None:
            raise InvalidParameter(
                f"{method.name} fits something to layers of one size, and {model.card.name} takes inputs of any; say a "
                "number in its card in place of '*'",
                pointer="/method",
            )
        with blamed(method):
            named = with_datasets(method, lambda name, _: self.stock.datasets.card(name).digest)
            classes = self._classes(model, named)
            job = Job(model=model.card.digest, input=None, target=None, method=named, classes=classes)
            found = self.stock.find(job.id)
            return found if found is not None else self.stock.obtain(model, job, self.report)

    def _classes(self, model: Function, method: Method) -> Classes:
        """Those of the job, for a method that it holds, of its own model or of another that it names."""
        return classes_for(method, model.card.digest, self.classes, self.own.card.digest)


@dataclass(frozen=True)
class ModelDataset:
    """A dataset as one model's input; `batches` reports items as they are done with."""

    card: DatasetCard
    contents: Contents
    model: Function
    report: Report
    model_classes: tuple[int, ...] = ()

    @property
    def digest(self) -> str:
        return self.card.digest

    @property
    def count(self) -> int:
        return self.card.count

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @property
    def categories(self) -> tuple[int, ...]:
        return self.contents.categories

    def batches(self, size: int, start: int = 0) -> Iterator[Items]:
        """The items in order, `size` at a time, where the model computes; raises InvalidDataset for a broken one."""
        parts = (range(first, min(first + size, self.count)) for first in range(start, self.count, size))
        for items in ahead(self._items, parts, self.model.device):
            yield items
            self.report(items.start + len(items.x), self.count, "inputs")

    def _items(self, part: range) -> Items:
        of, at = self.contents, slice(part.start, part.stop)
        rows = [self._rows(i) for i in part]
        device = self.model.device
        return Items(
            part.start,
            self.model.join({name: stacked([row[name] for row in rows], device) for name in rows[0]}),
            None if of.labels is None else of.labels[at],
            None if of.masks is None else moved(torch.from_numpy(of.masks[at] != 0), device, torch.bool),
            None if of.boxes is None else of.boxes[at],
            None if of.series is None else of.series[at],
        )

    def _rows(self, i: int) -> Mapping[str, NDArray[np.float32]]:
        """An item's inputs by name, each of the size that the model is for."""
        item, spec = self.contents.item(i), self.model.card.input
        whole = self.model.any_size or self.model
        try:
            if isinstance(item, bytes):
                return {ONE: self._of_its_size(i, prepare(item, spec.image or ImageSpec(), spec.shape)[0], spec)}
            if isinstance(item, np.ndarray) and not spec.parts:
                return {ONE: self._of_its_size(i, as_float32(item), spec)}
            kind, _, data = sent(item)
            found = decoded(kind, data, whole.takes, whole.tokenizers).rows
        except InputError as error:
            raise InvalidDataset(f"item {i} of the dataset: {error.detail}", pointer="/method") from None
        return {name: self._of_its_size(i, found[name], one) for name, one in laid(self.model.card.named).items()}

    def _of_its_size(self, i: int, row: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
        if row.shape != spec.shape:
            raise InvalidDataset(
                f"item {i} of the dataset has the size {list(row.shape)}, and what looks at many inputs takes them of "
                f"one, which is {list(spec.shape)} here; a model whose card says a number in place of '*' has but one",
                pointer="/method",
            )
        return row
