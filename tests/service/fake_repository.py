"""Models of the tests of the service, and a repository whose wishes are carried out at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service.queue.repository import Repository, Sent
from workers.contract import Objects
from workers.explanation.card import ImageSpec, InputSpec, Layer, MethodSupport, ModelCard
from workers.explanation.model_state import ModelState

if TYPE_CHECKING:
    from tests.service.fakes import FakeQueue

DIGITS = ModelCard(
    name="digits",
    digest="sha256:" + "d" * 64,
    input=InputSpec(kind="image", shape=(1, 8, 8), image=ImageSpec(mode="L", resize=(8, 8))),
    outputs=(3,),
    labels=("zero", "one", "two"),
    default_method="gradient",
    layers=(Layer(name="conv", op="conv2d", shape=(4, 8, 8), axes=("channel", "height", "width")),),
    methods=(MethodSupport(name="grad_cam", supported=False, reason="node conv_2 has no spatial axes"),),
)
TABLE = ModelCard(name="table", digest="sha256:" + "e" * 64, input=InputSpec(shape=(4,)), outputs=(2,))


class FakeRepository(Repository):
    """Wishes that are carried out at once; what is sent is refused where it is called "broken"."""

    def __init__(self, queue: FakeQueue) -> None:
        self.queue = queue
        self.objects = Objects(None)
        self.served = queue.models
        self.uploads: dict[str, str] = {}
        self.reloaded: list[str] = []

    async def send(self, name: str, packed: Path) -> Sent:
        before, self.uploads[name] = self.uploads.get(name, ""), "models/0123"
        if name == "broken":
            self.queue.told.append(ModelState(name=name, state="failed", reason="broken: it is bad", sent="0123"))
        else:
            state = ModelState(name=name, state="ready", digest=DIGITS.digest, card="digits", since=1.0, sent="0123")
            self.queue.told.append(state)
        return Sent(name, "models/0123", before)

    async def restore(self, sent: Sent) -> None:
        self.uploads.pop(sent.name)
        self.queue.told = [one for one in self.queue.told if one.name != sent.name]

    async def remove(self, name: str) -> bool:
        self.queue.told = [one for one in self.queue.told if one.name != name or name not in self.uploads]
        return self.uploads.pop(name, None) is not None

    async def unload(self, name: str) -> None:
        self.queue.served.pop(name, None)
        self.queue.told = [one for one in self.queue.told if one.name != name]
        self.queue.told.append(ModelState(name=name, state="unloaded"))

    async def load(self, name: str) -> None:
        self.queue.told = [one for one in self.queue.told if one.name != name]
        self.queue.served |= {"digits": DIGITS} if name == "digits" else {}

    async def reload(self, name: str) -> None:
        self.reloaded.append(name)
