"""A device that is none: tensors on it are computed by the CPU, and meet no others without an error, as on a GPU.

`torch.device("other")` stands for a GPU in tests of where things lie: what forgets to move a tensor fails here as it
would there ("Expected all tensors to be on the same device"). One to a process, and it stays: it has to be there before
autograd is first used, which counts the devices then.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

NAME = "other"
MOVING = {"_to_copy", "copy_", "to", "_copy_from", "_copy_from_and_resize"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # which takes places from the CPU
OVERRIDEABLE = {
    "convolution_overrideable": torch.ops.aten.convolution.default,
    "convolution_backward_overrideable": torch.ops.aten.convolution_backward.default,
}


class There(Tensor):
    """A tensor of the device; what it holds is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        made: There = Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=torch.device(NAME, 0)
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """A call on tensors of the device; raises RuntimeError where others are among them."""
    name = func._schema.name.partition("::")[2]
    given = _tensors((args, kwargs))
    judged = _tensors((args[0], args[2:])) if name in INDEXING and isinstance(args[0], There) else given
    here = [one for one in judged if not isinstance(one, There) and one.dim() > 0]
    if here and len(here) < len(given) and name not in MOVING:
        raise RuntimeError(f"Expected all tensors to be on the same device, and {name} was given both")
    wanted = kwargs.get("device")
    leaves = wanted is not None and torch.device(wanted).type == "cpu"
    inner = {**kwargs, **({"device": "cpu"} if wanted is not None else {})}
    call = OVERRIDEABLE.get(name, func)
    out = call(*tree_map(_held, args), **tree_map(_held, inner))
    if func._schema.is_mutable and given:
        return args[0]
    return out if leaves else tree_map(_there, out)


def _tensors(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    tree_map(lambda one: found.append(one) if isinstance(one, Tensor) else None, value)
    return found


def _held(one: Any) -> Any:
    if isinstance(one, There):
        return one.held
    return torch.device("cpu") if isinstance(one, torch.device) else one


def _there(one: Any) -> Any:
    return There(one) if isinstance(one, Tensor) and not isinstance(one, There) else one


class Made(TorchFunctionMode):
    """What is made of no tensor is made on the CPU and moved: a backend in Python makes not all of it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.tolist, Tensor.__format__):
            return func(args[0].cpu(), *args[1:])
        if func is Tensor.__getitem__ and isinstance(args[1], list):
            return func(args[0], torch.tensor(args[1]))
        if (
            func in (Tensor.__matmul__, Tensor.matmul) and args[0].dim() == 1 and args[1].dim() > 1
        ):  # it squeezes what it made in place
            return (args[0][None] @ args[1])[0]
        if func is Tensor.new_tensor:
            return torch.tensor(args[1], dtype=args[0].dtype).to(args[0].device)
        place = kwargs.get("device")
        if place is None or torch.device(place).type != NAME or _tensors((args, kwargs)):
            return func(*args, **kwargs)
        return func(*args, **{**kwargs, "device": "cpu"}).to(place)


@functools.cache
def other() -> str:
    """The device's name, once it is there."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]

    def fallback(func: Any, *args: Any, **kwargs: Any) -> Any:
        return computed(func, args, kwargs)

    library.fallback(fallback, "PrivateUse1")  # type: ignore[no-untyped-call]
    _kept.append(library)
    return NAME


_kept: list[torch.library.Library] = []
