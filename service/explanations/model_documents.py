"""What clients read of a model: its states, its versions, where it is loaded, and its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.http.addresses import API, MODELS
from service.queue.served import OnWorker, Served, Summary
from workers.contract import ModelCard


def document(served: Served, model: Summary, card: ModelCard | None = None) -> dict[str, Any]:
    """The state of a model, and its card where it has one: that of the version its name stands for, or of `card`."""
    here = f"{MODELS}/{model.name}"
    told: dict[str, Any] = {
        "name": model.name,
        "state": model.state,
        "reason": model.reason,
        "memory": model.memory,
        "versions": versions(model),
        "loaded": [
            {"worker": place.worker, "device": place.device, "digest": place.told.digest, "bytes": place.memory}
            for place in model.places
            if place.memory
        ],
        "workers": [
            {
                "worker": place.worker,
                "state": place.state,
                "digest": place.told.digest,
                "reason": place.told.reason,
            }
            for place in model.places
        ],
        "links": {"self": here},
    }
    card = card or served.cards.get(model.name)
    if card is None:
        return told
    links = {"self": here, "explain": f"{API}/explanations?model={card.name}"}
    return {**card.model_dump(mode="json"), **told, "classes": card.labels, "links": links}


def versions(model: Summary) -> list[dict[str, Any]]:
    """Of each version that some worker computes: whether the name stands for it, on how many workers it is."""
    of: dict[str, list[OnWorker]] = {}
    for place in model.places:
        if place.told.digest is not None and not place.ends:
            of.setdefault(place.told.digest, []).append(place)
    return [
        {"digest": digest, "current": digest == model.digest, "state": _state(places), "workers": len(places)}
        for digest, places in sorted(of.items())
    ]


def _state(places: Sequence[OnWorker]) -> str:
    return "ready" if any(place.state == "ready" for place in places) else "leaving"
