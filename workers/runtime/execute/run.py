"""From claimed works to results: model, inputs, one batch per group, rows split. No Celery and no Redis in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from workers.engine.arithmetic import products
from workers.engine.copies import stacked
from workers.engine.device import DeviceLost, device_lost, out_of_memory
from workers.engine.model.batch import Batch, Report, silent
from workers.engine.model.explained_score import explained_scores
from workers.engine.model.function import looking
from workers.engine.model.inputs import named
from workers.engine.model.resources import NoResources, Resources
from workers.engine.perturbation.chunks import even
from workers.explanation.card import Precision
from workers.explanation.errors import Cancelled, DeadlineExceeded, ExplainError, InputError, NotFinite, PredictorError
from workers.explanation.names.dataset_classes import Classes
from workers.explanation.request_target import check_target
from workers.explanation.result import Row
from workers.explanation.target import Target
from workers.jobs.receipt import Explained, finished
from workers.jobs.stored_results import Finished
from workers.jobs.work import Work
from workers.methods.cost import rows_per_batch
from workers.runtime import instrumentation
from workers.runtime.execute.alternatives import advised
from workers.runtime.execute.faults import contained
from workers.runtime.execute.hardware import machine
from workers.runtime.execute.model_inputs import Prepared, together
from workers.runtime.execute.model_support import check
from workers.runtime.execute.own_tokens import card_of_tokens, own_tokens

if TYPE_CHECKING:
    from workers.engine.model.function import Function

Outcome: TypeAlias = Finished | ExplainError
Known: TypeAlias = list[tuple[Work, Outcome]]
Load: TypeAlias = Callable[[Work], "Function"]
ReportOf: TypeAlias = Callable[[Sequence[Work]], Report]
Supply: TypeAlias = Callable[["Function", Report, str | None, Classes], Resources]
Place: TypeAlias = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Ready:
    """A work whose inputs the model can take."""

    work: Work
    inputs: Prepared


def unreported(_: Sequence[Work]) -> Report:
    """The watch of a run that nobody can stop."""
    return silent


def unsupplied(*_: object) -> Resources:
    """The supply of a run that has neither datasets nor results of held methods."""
    return NoResources()


def run(
    works: Sequence[Work], load: Load, watch: ReportOf = unreported, supply: Supply = unsupplied
) -> Iterator[tuple[Work, Outcome]]:
    """As `run_together`, one after the other."""
    return chain.from_iterable(run_together(works, load, watch, supply))


def run_together(
    works: Sequence[Work], load: Load, watch: ReportOf = unreported, supply: Supply = unsupplied
) -> Iterator[Known]:
    """Explain each work, sharing passes where that is sound; each comes out once, with what is known as soon.

    `load` gives the model of a work, or raises an ExplainError. `watch` gives the report of a batch, which raises
    Cancelled or DeadlineExceeded to stop it. `supply` gives its resources for the classes of its jobs, and a work that
    runs alone its id for what it keeps on the way.
    """
    shift = _Shift(watch, supply, Counter(place(work) for work in works))
    for batch in batches(works):
        try:
            with contained(), looking(getattr(watch(batch), "look", None)):  # what loads may wait for a server
                model = load(batch[0])
        except Exception as error:
            failure = instrumentation.counted_error(error, batch)
            yield [(work, failure) for work in batch]
        else:
            refused = _refused(model, batch)
            yield [(work, refused[work.job.target]) for work in batch if work.job.target in refused]
            yield from shift.prepared(model, [work for work in batch if work.job.target not in refused])


def _refused(model: Function, works: Sequence[Work]) -> dict[Target | None, ExplainError]:
    """By target, why the method of the works cannot explain it."""
    found: dict[Target | None, ExplainError] = {}
    for target in dict.fromkeys(work.job.target for work in works):
        try:
            with contained():
                check(model, works[0].job.method, target)
        except Exception as error:
            found[target] = instrumentation.counted_error(error, [work for work in works if work.job.target == target])
    return found


@dataclass
class _Shift:
    """One run: what its batches have in common. `inputs` are prepared once, `last` may lend its passes to the next.

    `asked` is how many works there are of each place.
    """

    watch: ReportOf
    supply: Supply
    asked: Mapping[Place, int]
    inputs: dict[Place, Prepared] = field(default_factory=dict)
    last: tuple[tuple[Precision, list[Place]], Batch] | None = None

    def prepared(self, model: Function, works: Sequence[Work]) -> Iterator[Known]:
        new = {place(work): work for work in works if place(work) not in self.inputs}
        threads = torch.get_num_threads()
        found = dict(zip(new, together(list(new.values()), model.takes, model.tokenizers, threads), strict=True))
        self.inputs |= {at: one for at, one in found.items() if isinstance(one, Prepared)}
        ready: list[Ready] = []
        for work in works:
            inputs = self.inputs.get(place(work)) or found[place(work)]
            if isinstance(inputs, Prepared):
                ready.append(Ready(work, inputs))
            else:
                yield [(work, instrumentation.counted_error(inputs, [work]))]
        for rows in _alike(ready):
            yield from self.sized(model, rows)

    def sized(self, model: Function, rows: Sequence[Ready]) -> Iterator[Known]:
        """Rows of the same shapes, by the model for these; targets that it has not got are refused."""
        fitting = list(rows)
        try:
            own = model.sized(rows[0].inputs.shapes)
        except Exception as error:
            failure = instrumentation.counted_error(error, [row.work for row in rows])
            yield [(row.work, failure) for row in rows]
            return
        for row in rows if own is not model else ():
            try:
                check_target(row.work.job.target, card_of_tokens(own.card, model.published, row.inputs))
            except InputError as error:
                fitting.remove(row)
                yield [(row.work, error)]
        size = even(len(fitting), own.rows or own.most or len(fitting)) if fitting else 1
        for at in range(0, len(fitting), size):
            yield from self.explained(own, fitting[at : at + size])

    def explained(self, model: Function, rows: Sequence[Ready]) -> Iterator[Known]:
        """The batch, or its halves where it fails, so that one bad row fails alone.

        A row that alone does not fit into memory is tried again with fewer of its steps at once.
        """
        outcomes: Known | None
        try:
            outcomes = self.outcomes(model, rows)
        except Exception as error:
            outcomes = self.failed(model, rows, error)
            error.__traceback__ = None  # it holds the batch's tensors, and the halves need their memory
        if outcomes is not None:
            yield outcomes
            return
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        middle = len(rows) // 2
        if middle:
            yield from self.explained(model, rows[:middle])
        yield from self.explained(model, rows[middle:])

    def failed(self, model: Function, rows: Sequence[Ready], error: Exception) -> Known | None:
        """What a batch comes to that failed; None where less of it at once may still succeed."""
        self.last = None
        if device_lost(error, model.device):
            raise DeviceLost(type(error).__name__) from error
        full = out_of_memory(error)
        gave = full and model.give_back()
        if len(rows) > 1 and not isinstance(error, Cancelled | DeadlineExceeded | PredictorError):
            return None
        if len(rows) == 1 and (gave or (full and model.shrink())):
            return None
        failure = instrumentation.counted_error(error, [row.work for row in rows])
        return [(row.work, _advised(failure, model, row.work)) for row in rows]

    def outcomes(self, model: Function, rows: Sequence[Ready]) -> Known:
        started = time.perf_counter()
        batch = self.batch(model, rows)
        method = rows[0].work.job.method
        with looking(getattr(batch.report, "look", None)), products(model.precision):
            with instrumentation.batch([row.work for row in rows]), contained():
                of = method.speaks_of(model) if model.card.input.parts else None
                results = named(method.explain(model, batch), model.card.input, method.of_places(), of).rows()
            # Asked last, so that the outputs come from the pass that the method made, and cost none of their own.
            prediction, told = explained_scores(model, batch) if method.takes_input else ([[] for _ in rows], [])
            # Without an input, a rank is one of each item of a dataset, not one of the zeros that stand for an input.
            wanted = model.resolve(batch) if method.takes_input else list(batch.targets)
            model.check()
        explained: Sequence[Mapping[str, float | None] | None] = told or [None] * len(rows)
        targets: Sequence[Target | None] = wanted or [None] * len(rows)
        computed_ms = (time.perf_counter() - started) * 1000
        made = machine(model, len(rows))
        return [
            (ready.work, _outcome(ready, row, model, target, top, scalar, computed_ms, made))
            for ready, row, target, top, scalar in zip(rows, results, targets, prediction, explained, strict=True)
        ]

    def batch(self, model: Function, rows: Sequence[Ready]) -> Batch:
        """The rows as a batch; where the one before had the same inputs, it shares their forward pass."""
        works = [row.work for row in rows]
        places = model.precision, [place(work) for work in works]
        targets = [work.job.target for work in works if work.job.target]
        seeds = [seed(work) for work in works]
        if self.last is not None and self.last[0] == places:
            batch = self.last[1].sharing(targets, seeds, self.watch(works))
        else:
            self.last = None
            taken = {name: [row.inputs.rows[name] for row in rows] for name in rows[0].inputs.rows}
            x = model.join({name: stacked(each, model.device) for name, each in taken.items()})
            once = all(self.asked[one] == 1 for one in places[1])
            batch = Batch(x, targets, seeds, self.watch(works), once=once)
        alone = works[0].id if len(works) == 1 else None
        batch.resources = self.supply(model, batch.report, alone, works[0].job.classes)
        self.last = places, batch
        return batch


def _alike(ready: Sequence[Ready]) -> list[list[Ready]]:
    """Those whose inputs have the same shapes together: they may share a pass."""
    found: dict[tuple[tuple[int, ...], ...], list[Ready]] = {}
    for row in ready:
        found.setdefault(row.inputs.shapes, []).append(row)
    return list(found.values())


def _advised(error: ExplainError, model: Function, work: Work) -> ExplainError:
    """The error of a row with what the model supports of its advice."""
    return advised(error, model, work.job.method, work.job.target) if isinstance(error, InputError) else error


def place(work: Work) -> Place:
    """The model and the input that a work is about."""
    return work.job.model, work.job.input


def seed(work: Work) -> int:
    """The seed of the work's random draws; 0 where its method draws nothing."""
    return getattr(work.job.method, "seed", 0)


def _outcome(
    ready: Ready,
    row: Row,
    model: Function,
    target: Target | None,
    prediction: Any,
    explained: Mapping[str, float | None] | None,
    computed_ms: float,
    made: dict[str, Any],
) -> Outcome:
    if not all(np.isfinite(array).all() for array in row.arrays.values()):
        return NotFinite("the result holds values that are not finite: the model's output or gradient is not, here")
    place = str(model.device)
    return finished(
        Explained(
            ready.work,
            model.card,
            place,
            own_tokens(row, ready.inputs),
            ready.inputs.seen,
            target,
            prediction,
            explained,
            computed_ms,
            made,
            ready.inputs.texts,
        )
    )


def batches(works: Sequence[Work]) -> Iterator[list[Work]]:
    """Works of one group together, in order of arrival, cut to as many rows as one pass may take."""
    groups: dict[str, list[Work]] = {}
    for work in works:
        groups.setdefault(work.job.group, []).append(work)
    for group in groups.values():
        rows = rows_per_batch(group[0].job.method, group[0].passes)
        yield from (group[i : i + rows] for i in range(0, len(group), rows))
