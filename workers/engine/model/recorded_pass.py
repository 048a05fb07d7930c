"""Passes back and forth through a graph: by autograd, or on a GPU from a recording, which launches all of it at once.

Few rows of a net are hundreds of kernels that take less time each than to launch them. A recording (a CUDA graph) is
of one size; what it is given and gives lies where it lay at first. `cuda` stands in for torch.cuda in tests.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

import structlog
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from workers.engine.graph.graph import Graph
from workers.engine.model.rows_at_once import numbers

WORTH: Final = 3  # passes of a size before one is recorded
MOST: Final = 4  # recordings of a model
LARGEST: Final = 2**25  # numbers that a recorded pass keeps
ALIKE: Final = 1e-4  # of the largest value

Key: TypeAlias = tuple[int, torch.Size, torch.dtype]

_UNKNOWN = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}

log = structlog.get_logger()


class Pass(Protocol):
    """One pass: what it gave, and the way back."""

    @property
    def outputs(self) -> Tensor:
        """What the graph returned (n, ...), detached."""

    def back(self, weights: Tensor) -> Tensor | None:
        """The weights (n, ...) of the outputs times their Jacobian (n, *shape), once; None where there is none."""


class PlainPass:
    """One pass by autograd."""

    def __init__(self, graph: Graph, x: Tensor) -> None:
        self._x = x.detach().requires_grad_()
        with torch.enable_grad():
            self._outputs = graph.run(self._x)[0]
        self.outputs = self._outputs.detach()

    def back(self, weights: Tensor) -> Tensor | None:
        return torch.autograd.grad(self._outputs, self._x, weights)[0] if self._outputs.requires_grad else None


class Unrecordable(Exception):
    """What a recording cannot hold, or one that gives other numbers than the passes that it was made of."""


class _Asks(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has it so
    """Raises at what waits for a value of the device, draws, or reads another device: known before it is recorded.

    For torch's allocator does not get over a recording that breaks off.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gave = func(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves((args, kwargs, gave)) if isinstance(one, Tensor)]
        by_mask = any(
            one.dtype in (torch.bool, torch.uint8) for one in tree_leaves(args[1:]) if isinstance(one, Tensor)
        )
        plain = func is torch.ops.aten.index.Tensor and not by_mask  # by numbers, whose shape is known
        unknown = (_UNKNOWN & set(func.tags) and not plain) or draws(func, args, kwargs or {})
        if unknown or len({one.device for one in tensors if one.dim()}) > 1:
            raise Unrecordable(f"{func} cannot be recorded")
        return gave


def draws(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether chance has a part in it; none has in attention that drops nothing, though torch says so of it."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    asked = {one.name: one.default_value for one in func._schema.arguments}
    given = {**asked, **dict(zip(asked, args, strict=False)), **kwargs}
    return bool(given.get("dropout_p", 1.0))


class Recording:
    """The passes of one graph on inputs of one size; raises Unrecordable."""

    def __init__(self, graph: Graph, x: Tensor, cuda: Any) -> None:
        self.graph, self.lock = graph, threading.Lock()
        self._x = x.detach().clone().requires_grad_()
        self._there, self._back = cuda.CUDAGraph(), cuda.CUDAGraph()
        stream, now = _stream(cuda, x.device), cuda.current_stream(x.device)
        # Else what libraries set up would be another GPU's; and one that breaks off leaves its stream the current one.
        with cuda.device(x.device), cuda.stream(now):
            # What the first passes set up for a stream is not recorded, so they go by the one that is recorded. Other
            # threads may allocate meanwhile: only what this one does counts.
            how = {"stream": stream, "capture_error_mode": "thread_local"}
            self._warm(cuda, stream, now)
            with torch.enable_grad(), cuda.graph(self._there, **how):
                self._outputs = graph.run(self._x)[0]
            self._weights = torch.ones_like(self._outputs, requires_grad=False)
            with cuda.graph(self._back, pool=self._there.pool(), **how):
                self._slopes = torch.autograd.grad(self._outputs, self._x, self._weights)[0]
        self._check(torch.zeros_like(x), 0.5, 1.5)
        self._check(x, 1.5, -0.5)

    def _warm(self, cuda: Any, stream: Any, now: Any) -> None:
        stream.wait_stream(now)
        with cuda.stream(stream), _Asks():  # type: ignore[no-untyped-call]
            for _ in range(2):
                passed = PlainPass(self.graph, self._x)
                if passed.back(torch.ones_like(passed.outputs)) is None:
                    raise Unrecordable("the outputs are not made of the input")
        now.wait_stream(stream)

    def _check(self, x: Tensor, first: float, last: float) -> None:
        passed = PlainPass(self.graph, x)
        weights = torch.linspace(first, last, passed.outputs.numel(), dtype=x.dtype, device=x.device)
        weights = weights.to(passed.outputs.dtype).view_as(passed.outputs)
        pairs = (self.run(x), passed.outputs), (self.back(weights), passed.back(weights))
        if not all(_alike(found, wanted) for found, wanted in pairs):
            raise Unrecordable("the recording gives other numbers")

    def run(self, x: Tensor) -> Tensor:
        """The outputs for x, which is shaped like the recording's."""
        with torch.no_grad():
            self._x.copy_(x)
        self._there.replay()
        return self._outputs.detach().clone()

    def back(self, weights: Tensor) -> Tensor:
        """The weights of the last outputs times their Jacobian."""
        self._weights.copy_(weights)
        self._back.replay()
        return self._slopes.clone()


@cache
def _stream(cuda: Any, device: torch.device) -> Any:
    """One of the device for all recordings: its libraries keep memory for each."""
    return cuda.Stream(device)


def _alike(found: Tensor, wanted: Tensor | None) -> bool:
    if wanted is None:
        return False
    size = float(wanted.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return torch.allclose(found, wanted, rtol=0.0, atol=ALIKE * size, equal_nan=True)


class Replay:
    """One pass by a recording, whose lock is held meanwhile."""

    def __init__(self, recording: Recording, x: Tensor) -> None:
        self._recording = recording
        self.outputs = recording.run(x)

    def back(self, weights: Tensor) -> Tensor:
        return self._recording.back(weights)


class Recorder:
    """The recordings of a model, of sizes that come again; none unless they are `allowed` and it is on a GPU."""

    allowed = False  # of this process: a worker's setting

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._device, self._cuda = device, cuda
        self._seen: Counter[Key] = Counter()
        self._kept: OrderedDict[Key, Recording | None] = OrderedDict()  # None of what cannot be recorded
        self._changing = threading.Lock()
        self._stopped = False

    @property
    def made(self) -> int:
        """How many recordings there are."""
        return sum(one is not None for one in self._kept.values())

    @contextmanager
    def through(self, graph: Graph, x: Tensor) -> Iterator[Pass]:
        """A pass of x (n, *shape) through the graph."""
        recording = self._of(graph, x) if self.allowed and self._device.type == "cuda" else None
        if recording is None or not recording.lock.acquire(blocking=False):
            yield PlainPass(graph, x)
            return
        try:
            yield Replay(recording, x)
        finally:
            recording.lock.release()

    def give_back(self) -> bool:
        """Where memory is short: give back what they take, and make no more; whether that was any."""
        with self._changing:
            had = self.made > 0
            self._kept.clear()
            self._stopped = True
            return had

    def _of(self, graph: Graph, x: Tensor) -> Recording | None:
        key = id(graph), x.shape, x.dtype
        with self._changing:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            self._seen[key] += 1
            if self._stopped or self._seen[key] < WORTH or graph.alone or len(x) * numbers(graph) > LARGEST:
                return None
            self._kept[key] = made = self._made(graph, x)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            return made

    def _made(self, graph: Graph, x: Tensor) -> Recording | None:
        try:
            return Recording(graph, x, self._cuda)
        except Unrecordable as why:
            log.info("passes of this size are not recorded", rows=len(x), reason=str(why))
        except RuntimeError as why:
            Recorder.allowed = False
            reason = str(why).partition("\n")[0]
            log.warning("a recording broke off; this process makes no more", rows=len(x), reason=reason)
        return None
