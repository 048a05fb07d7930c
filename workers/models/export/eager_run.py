"""A module run as its author wrote it, in one precision, watched for what its exported graph cannot keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from workers.engine.compile.precision import in_precision, of_type
from workers.engine.graph.norms import FUNCTIONS
from workers.models.export.called import Called

_CASTS = {Tensor.half, Tensor.bfloat16, Tensor.float, Tensor.double}
_DATA: Any = Tensor.data
_CUTS = {Tensor.detach: "detach", Tensor.detach_: "detach", _DATA.__get__: "data"}
_HOOKS = {Tensor.register_hook: "a tensor's gradient hook"}


@dataclass
class Seen:
    """What one run met: `looked_up`, the outputs of embeddings, from which gradients go no further back; `values`,
    what each module returned by its path; `own`, each autograd Function by the module that applied it; `cut`, each
    detach, region without gradients and gradient hook, likewise.
    """

    looked_up: list[Tensor] = field(default_factory=list)
    values: dict[str, Tensor] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)


class Watched(TorchFunctionMode):
    """While active, every float is of one type, whatever a module casts it to; autocast has no effect.

    Norms are computed by their formulas, for the slopes that torch gives them are not always theirs.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.seen = Seen()
        self.inside = [""]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = self._alike(args), {key: self._alike(value) for key, value in (kwargs or {}).items()}
        self._note(func, args)
        if func in _CASTS:
            return args[0].to(self.dtype)
        with torch.autocast("cpu", enabled=False):
            result = FUNCTIONS.get(func, func)(*args, **kwargs)
        if func in (functional.embedding, torch.embedding, functional.embedding_bag):
            result = result.detach().requires_grad_()
            self.seen.looked_up.append(result)
        return result

    def _note(self, func: Any, args: tuple[Any, ...]) -> None:
        if func in _CUTS and args[0].requires_grad:
            self.seen.cut.setdefault(_CUTS[func], self.inside[-1])
        elif func in _HOOKS:
            self.seen.cut.setdefault(_HOOKS[func], self.inside[-1])
        elif func is torch._C._set_grad_enabled and args[0] is False:
            self.seen.cut.setdefault("torch.no_grad", self.inside[-1])

    def _alike(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value)(self._alike(item) for item in value)
        if isinstance(value, torch.dtype):
            return of_type(value, self.dtype)
        return in_precision(value, self.dtype)


@contextmanager
def watched(module: nn.Module, dtype: torch.dtype) -> Iterator[Seen]:
    """Within, a run of the module is watched; its weights must be of that type."""
    mode = Watched(dtype)
    known: set[Any] = set()
    hooks = []
    for path, inner in (module.inner if isinstance(module, Called) else module).named_modules():
        hooks.append(inner.register_forward_pre_hook(_enters(mode, path)))
        hooks.append(inner.register_forward_hook(_leaves(mode, path, known), always_call=True))
    try:
        with torch.enable_grad(), mode:
            yield mode.seen
    finally:
        for hook in hooks:
            hook.remove()


def _enters(mode: Watched, path: str) -> Callable[..., None]:
    def enter(*_: Any) -> None:
        mode.inside.append(path)

    return enter


def _leaves(mode: Watched, path: str, known: set[Any]) -> Callable[..., None]:
    def leave(_module: nn.Module, _inputs: Any, output: Any) -> None:
        mode.inside.pop()
        if not isinstance(output, Tensor):
            return
        mode.seen.values.setdefault(path, output)
        for name in _functions(output.grad_fn, known):
            mode.seen.own.setdefault(name, path)

    return leave


def _functions(node: Any, known: set[Any]) -> Iterator[str]:
    """The names of the autograd Functions that a value came by and that were not met before."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node is None or node in known:
            continue
        known.add(node)
        applied = getattr(type(node), "_forward_cls", None)
        if applied is not None:
            yield applied.__qualname__
        waiting.extend(following for following, _ in node.next_functions)
