"""From a card to the server that it names: the connection, the protocol, and the version of what is served."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder, PredictorAway, PredictorError
from workers.models.remote.section import RemoteSection, form, secrets
from workers.models.source import Source

if TYPE_CHECKING:
    from workers.models.remote.connection import Connection
    from workers.models.remote.protocols import Protocol

ASKED_S = 5.0  # that a server may take to say what it serves


def remote_version(
    source: Source, section: RemoteSection, spec: InputSpec, labels: Sequence[str], name: str, row: NDArray[np.float32]
) -> str:
    """What the card says it is, else what the server says, of its model or with an answer to `row`.

    Raises InvalidFolder where neither says, PredictorAway where the server gives no answer.
    """
    secrets(section, f"{name}/card.toml")
    if section.version is not None:
        return section.version
    if source.kind == "open-inference":
        quick = section.model_copy(update={"timeout": min(section.timeout, ASKED_S)})
        protocol, connection = opened(source, quick, spec, labels, name)
        try:
            told = protocol.describe(connection)
            if told is None:
                request = protocol.request(row)
                answer = connection.post(request.address, request.body, request.headers, threading.Event())
                told = protocol.outputs(answer, 1).version
            if told is not None:
                return told
        except PredictorError as error:
            raise PredictorAway(f"{name}: {error.detail}") from None
        finally:
            connection.close()
    raise InvalidFolder(
        f"{name}/card.toml: [remote] version is missing, and the server tells none of its own; ids of explanations "
        'stand for one model: say which it is, as version = "1", and change it with the model'
    )


def witness(spec: InputSpec, background: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The row (1, *shape) that is asked first: the first of the background; else the middle of the range, or zeros.

    Whole numbers where the range has some, for a server may take no others.
    """
    if background is not None:
        return background[:1]
    low, high = spec.image.range() if spec.image else (spec.low, spec.high)
    middle = np.zeros(1) if low is None or high is None else (np.ravel(low) + np.ravel(high)) / 2
    if low is not None and high is not None:
        middle = np.clip(np.rint(middle), np.ravel(low), np.ravel(high))
    spread = middle.reshape(1, -1, *[1] * (len(spec.shape) - 1))
    return np.ascontiguousarray(np.broadcast_to(spread, (1, *spec.shape)), np.float32)


def opened(
    source: Source, section: RemoteSection, spec: InputSpec, labels: Sequence[str], name: str
) -> tuple[Protocol, Connection]:
    """Raises InvalidFolder where the environment lacks what [remote] names."""
    from workers.models.remote.connection import Connection  # here, for it takes a tenth of a second
    from workers.models.remote.protocols import KINDS

    headers = secrets(section, f"{name}/card.toml")
    protocol = KINDS[source.kind](source.name, section, spec, labels, form(section, source.kind, spec))
    return protocol, Connection(name, source.name, headers, section.timeout, section.retries, section.requests)
