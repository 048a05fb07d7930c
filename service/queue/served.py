"""What the live workers serve, summed: which model a name stands for now, in what state each is and where. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.http.errors import ModelFailed, ModelLoading, NoWorker
from service.queue.connection import QueueUnavailable
from workers.contract import FULL, ModelCard, ModelState, Precision, State, UnknownModel, meant

SHORTEST = 6  # digits of a digest that name a version
SHOWN = 12

Heartbeat = Mapping[str, Any]


@dataclass(frozen=True)
class OnWorker:
    """A version of a model, or a model of which there is none, as one worker has it; `memory` in bytes, 0: on disk.

    `alike`: the worker has the methods that this API asks for, each in the same revision.
    """

    worker: str
    device: str | None
    told: ModelState
    ends: bool
    memory: int = 0
    alike: bool = True

    @property
    def state(self) -> State:
        return "leaving" if self.ends and self.told.state == "ready" else self.told.state


@dataclass(frozen=True)
class Summary:
    """A model in sum: ready where any worker serves it. `digest` is that of the version its name stands for."""

    name: str
    state: State
    reason: str | None
    digest: str | None
    places: Sequence[OnWorker]

    @property
    def memory(self) -> int:
        return sum(place.memory for place in self.places)


@dataclass(frozen=True)
class Served:
    """As of one reading. `cards` are of the versions that names stand for, `versions` of all, by name and digest.

    `workers` is how many live that compute in the `precision` asked for, `others` how many do not; `opening` whether
    one of the former has not told yet what its folder holds; `unheard` why none could be heard of, where that is known.
    """

    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    versions: Mapping[tuple[str, str], ModelCard] = field(default_factory=dict)
    models: Mapping[str, Summary] = field(default_factory=dict)
    workers: int = 0
    others: int = 0
    precision: Precision = FULL
    opening: bool = False
    unheard: str | None = None

    def card(self, name: str, pointer: str = "/model") -> ModelCard:
        """The card of what NAME or NAME@DIGEST stands for.

        Raises UnknownModel, ModelLoading and ModelFailed with the reason, and while no worker is heard of NoWorker, or
        QueueUnavailable where Redis is why.
        """
        plain, at, version = name.partition("@")
        if at and plain in self.models:
            return self._version(plain, version, pointer)
        if name in self.cards:
            return self.cards[name]
        if self.unheard is not None:
            raise QueueUnavailable(self.unheard)
        if not self.workers:
            raise NoWorker(self.idle())
        if name in self.models:
            raise _not_ready(self.models[name])
        if self.opening:
            raise ModelLoading("the workers are still looking what models there are; try again in a moment")
        raise UnknownModel(f"there is no such model; {meant(plain, sorted(self.cards))}", pointer=pointer)

    def idle(self) -> str:
        """Why no model is served where no worker is there for it."""
        if not self.others:
            return "no worker is alive, so no model is served; try again in a moment"
        return (
            f"no worker computes in {self.precision}, which this API asks for ({self.others} in others); start "
            f"workers with WHENCE_PRECISION={self.precision}, or the API without it"
        )

    def named(self, name: str, pointer: str) -> ModelCard:
        """The card of what a name, NAME@DIGEST or a digest that is served stands for; raises as `card`."""
        found = next((card for (_, digest), card in self.versions.items() if digest == name), None)
        return found or self.card(name, pointer)

    def check_required(self, names: Iterable[str]) -> None:
        """Raise ModelLoading where one of these is not served, with the reason where there is one."""
        missing = [name for name in names if name not in self.cards]
        if missing:
            failed = self.failed()
            told = [f"{name} ({failed[name]})" if name in failed else name for name in missing]
            raise ModelLoading(f"not served yet: {', '.join(told)}")

    def failed(self) -> dict[str, str]:
        """Why models cannot be served, by name."""
        return {name: one.reason or "" for name, one in self.models.items() if one.state == "failed"}

    def _version(self, name: str, version: str, pointer: str) -> ModelCard:
        wanted = version.removeprefix("sha256:")
        here = {digest.removeprefix("sha256:"): card for (of, digest), card in self.versions.items() if of == name}
        found = [card for digest, card in here.items() if digest.startswith(wanted) and len(wanted) >= SHORTEST]
        if len(found) == 1:
            return found[0]
        there = ", ".join(f"{name}@{digest[:SHOWN]}" for digest in sorted(here)) or "none at all"
        raise UnknownModel(f"no worker serves this version of {name}; there are: {there}", pointer=pointer)


def summed(
    workers: Sequence[Heartbeat],
    states: Mapping[str, Sequence[ModelState]],
    cards: Mapping[str, ModelCard],
    methods: str | None = None,
    precision: Precision = FULL,
) -> Served:
    """From heartbeats, the states that they name, and cards by the names that they are kept under.

    `methods` is what the API's own methods go by: a version of a model that is served with others would wait for ever.
    So would one by workers that do not compute in the `precision`: they are not looked at.
    """
    able = [worker for worker in workers if precision in worker.get("precisions", (FULL,))]
    places: dict[str, list[OnWorker]] = defaultdict(list)
    for worker in able:
        loaded, alike = worker.get("loaded", {}), worker.get("methods") == methods
        for told in states.get(worker.get("states", ""), ()):
            memory = loaded.get(told.digest, 0)
            places[told.name].append(
                OnWorker(worker["id"], worker.get("device"), told, bool(worker.get("ends")), memory, alike)
            )
    named = {
        (one.told.name, one.told.digest): _named(cards[one.told.card], one.told.name, precision)
        for of in places.values()
        for one in of
        if not one.ends and one.told.digest is not None and one.told.card is not None and one.told.card in cards
    }
    models = {name: _summary(name, of, named) for name, of in sorted(places.items())}
    current = {name: named[name, one.digest] for name, one in models.items() if one.digest and one.state == "ready"}
    opening = any(worker.get("opens") or worker.get("states") not in states for worker in able)
    return Served(current, named, models, len(able), len(workers) - len(able), precision, opening)


def _summary(name: str, places: Sequence[OnWorker], named: Iterable[tuple[str, str]]) -> Summary:
    cards = set(named)
    ready = [one for one in places if one.state == "ready" and one.told.digest and (name, one.told.digest) in cards]
    why = next((one.told.reason for one in places if one.state == "failed"), None)
    if ready:
        newest = max(ready, key=lambda one: (one.alike, one.told.since or 0.0, one.told.digest or ""))
        broken = f"what lies in the folder now cannot be served: {why}" if why else None
        return Summary(name, "ready", broken, newest.told.digest, places)
    order: tuple[State, ...] = ("loading", "ready", "failed", "unloaded", "leaving")
    state = min((one.state for one in places), key=order.index)
    state = "loading" if state == "ready" else state  # its card is not read yet
    reason = next((one.told.reason for one in places if one.state == state and one.told.reason), None)
    return Summary(name, state, reason, None, places)


def _named(card: ModelCard, name: str, precision: Precision) -> ModelCard:
    told = {"name": name, **({} if precision == FULL else {"precision": precision})}
    return card if told == {"name": card.name} else card.model_copy(update=told)


def _not_ready(model: Summary) -> Exception:
    if model.state == "failed":
        return ModelFailed(f"the model {model.name} cannot be served: {model.reason}")
    why = {
        "leaving": "is leaving: the last worker that has it serves it no more",
        "unloaded": "is unloaded; an operator can load it again",
    }.get(model.state, "is loading")
    because = f" ({model.reason})" if model.state == "loading" and model.reason else ""
    return ModelLoading(f"the model {model.name} {why}{because}; try again in a moment")
