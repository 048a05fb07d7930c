"""From a module to its exported program, for any number of rows; what cannot be exported is refused in a sentence."""

from __future__ import annotations

import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from itertools import product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from workers.engine.compile import attention_dropout
from workers.explanation.card import OPEN, InputSpec
from workers.explanation.errors import InvalidFolder
from workers.explanation.inputs import NOMINAL, ONE, is_open, spoken
from workers.models.export.called import chosen, traced_shape
from workers.models.export.tracebacks import first_line, place_of

SHOWN = 4
PLACES = (NOMINAL, 256, 16, 4)  # of an axis of any length: tables may be shorter, windows wider than the first

log = logging.getLogger(__name__)


Inputs: TypeAlias = Mapping[str, InputSpec] | tuple[int, ...]


def export_module(
    module: nn.Module,
    inputs: Inputs,
    where: str,
    example: Mapping[str, Tensor] | Tensor | None = None,
    select: int | str | None = None,
) -> ExportedProgram:
    """The module's program for inputs (n, *shape), any n; for n = 1 alone, with a warning, where that is all it can.

    `inputs` are those by name, in the order of the module's arguments, or the shape of one. It is traced with `example`
    (n, *shape), else with zeros or ones, in the type that the module takes: float32, its weights' own, or whole
    numbers. Raises InvalidFolder.
    """
    named = {ONE: InputSpec(shape=inputs)} if isinstance(inputs, tuple) else inputs
    given = {next(iter(named)): example} if isinstance(example, Tensor) else example
    _check_kind(module.eval(), where)
    module.to("cpu")
    taken = _taken(module, named, _tried(named, given), where, select)
    module.requires_grad_(False)
    sizes = [_open(spec) for spec in named.values()]
    try:
        return _exported(module, taken, [{0: Dim("batch"), **one} for one in sizes])
    except Exception as open_error:
        log.debug("torch.export.export failed on %s for any number of rows", where, exc_info=True)
        try:
            program = _exported(module, [one[:1].clone() for one in taken], sizes if any(sizes) else None)
        except Exception as error:
            log.debug("torch.export.export failed on %s", where, exc_info=True)
            told = _not_any_size(error, named) if any(sizes) else _untraced(error, named)
            raise InvalidFolder(f"{where}: {told}") from None
        log.warning(
            "%s: its inputs run one at a time, for its batch axis cannot stay open%s: %s",
            where, place_of(open_error), _why_fixed(open_error),
        )  # fmt: skip
        return program


def _open(spec: InputSpec) -> dict[int, Any]:
    return {axis: Dim.DYNAMIC for axis, size in enumerate(spec.shape, 1) if size == OPEN}


def _not_any_size(error: Exception, inputs: Mapping[str, InputSpec]) -> str:
    shapes = " and ".join(spoken(spec) for spec in inputs.values())
    return (
        f"the model cannot be exported for inputs of any size {shapes}{place_of(error)}: {_why_fixed(error)}; what it "
        "computes hangs on that length (a linear layer behind a flatten, or a recurrent layer, say): give that axis a "
        "number, or pool over it"
    )


def _tried(inputs: Mapping[str, InputSpec], example: Mapping[str, Tensor] | None) -> list[list[Tensor]]:
    """What the module is tried on: two rows of each input."""
    if example is not None:
        return [[example[name][:1].expand(2, *example[name].shape[1:]) for name in inputs]]
    lengths = dict.fromkeys(tuple(traced_shape(spec, places) for spec in inputs.values()) for places in PLACES)
    return [[make(2, *shape) for shape in shapes] for shapes in lengths for make in (torch.zeros, torch.ones)]


def _why_fixed(error: Exception) -> str:
    """What torch says of an axis that its code fixes: one line of a list, where it gives one."""
    listed = [line.strip()[2:] for line in str(error).splitlines() if line.strip().startswith("- ")]
    return listed[0].partition(". ")[0][:200] if listed else first_line(error)


def _exported(module: nn.Module, given: Sequence[Tensor], axes: Sequence[dict[int, Any]] | None) -> ExportedProgram:
    first = next(iter(_parameters(module)), None)
    several = first is not None and first.kind is first.VAR_POSITIONAL
    shapes = None if axes is None else ((tuple(axes),) if several else tuple(axes))

    def traced() -> ExportedProgram:
        return torch.export.export(module, tuple(given), dynamic_shapes=shapes)

    def training() -> ExportedProgram:
        try:
            module.train()
            return traced()
        finally:
            module.eval()

    # torch prints the part that it has traced when it gives up, and warns of recurrent layers, whose weights it
    # puts back itself.
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*_flat_weights.* assigned during export", UserWarning)
        program = traced()
        attention_dropout.note(program, training)
        return program


def _check_kind(module: nn.Module, where: str) -> None:
    """Raise InvalidFolder for modules that hold no graph of plain tensors to export."""
    for path, inner in module.named_modules():
        if isinstance(inner, torch.jit.ScriptModule):
            raise InvalidFolder(
                f"{where}: the model{_named(path)} is TorchScript, which torch.export does not take; let the factory "
                "return the module that was scripted or traced"
            )
        if type(inner).__module__.startswith(("torch.ao.nn.quantized", "torch.nn.quantized")):
            raise InvalidFolder(
                f"{where}: the model{_named(path)} is quantised ({type(inner).__name__}), and has no gradients; let "
                "the factory return the float model that it was made from"
            )
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_meta or value.is_quantized:
            kind = "on the meta device, without numbers" if value.is_meta else "quantised"
            raise InvalidFolder(f"{where}: the weights {name} are {kind}; give the model its float weights")


def _named(path: str) -> str:
    return f"'s layer {path}" if path else ""


def _taken(
    module: nn.Module,
    inputs: Mapping[str, InputSpec],
    tried: list[list[Tensor]],
    where: str,
    select: int | str | None,
) -> list[Tensor]:
    """Two rows of the values and the types that the plain module runs on; raises InvalidFolder in its own words."""
    _check_signature(module, inputs, where)
    stored = {p.dtype for p in (*module.parameters(), *module.buffers())}
    own = sorted((dtype for dtype in stored if dtype.is_floating_point), key=str)
    whole = [spec.dtype != "float32" for spec in inputs.values()]
    types = dict.fromkeys((torch.float32, *own, *([] if any(whole) else [torch.int64])))
    problem: Exception | None = None
    for dtype, values, count in product(types, tried, (1, 2)):  # some do not run on a lone row
        rows = [one[:count].to(torch.int64 if ids else dtype) for one, ids in zip(values, whole, strict=True)]
        try:
            with torch.no_grad():
                output = module(*rows)
        except Exception as error:
            problem = problem or error
        else:
            _check_output(output, where, select)
            return [one.expand(2, *one.shape[1:]).clone() for one in rows]
    assert problem is not None
    log.debug("%s does not run", where, exc_info=problem)
    shapes = " and ".join(f"{name} {list(one.shape[1:])}" for name, one in zip(inputs, tried[0], strict=True))
    what = f"an input of the shape {list(tried[0][0].shape[1:])}" if len(inputs) == 1 else f"inputs {shapes}"
    told = f"{where}: the model does not run on {what}{place_of(problem)}: {first_line(problem)}"
    if is_open(inputs) and len(tried) > 1:
        told += (
            f"; an axis of any length was tried with {', '.join(map(str, PLACES))} places: whence export "
            "--example FILE takes an input of a length that the model takes"
        )
    raise InvalidFolder(told)


def _check_signature(module: nn.Module, inputs: Mapping[str, InputSpec], where: str) -> None:
    parameters = _parameters(module)
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p.name for p in parameters if p.default is p.empty and (p in placed or p.kind is p.KEYWORD_ONLY)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    most = len(inputs) if any_number or not parameters else len(placed)
    if len(wanted) > len(inputs) or len(inputs) > most:
        told = ", ".join(wanted or [p.name for p in placed]) or "none"
        names = ",".join(wanted) or "a,b"
        raise InvalidFolder(
            f"{where}: the model's forward takes {len(wanted)} inputs ({told}), and {len(inputs)} "
            f"{'is' if len(inputs) == 1 else 'are'} described; name each, by --names {names} and a --shape for each, "
            "or let the factory return a module whose forward fixes the others"
        )


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    """What forward takes; nothing where that cannot be told."""
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def _check_output(output: Any, where: str, select: int | str | None) -> None:
    """Raise InvalidFolder for what is not one tensor of floats, with what would make it one."""
    found = dict(tensors(output))
    if select is not None or len(found) == 1:
        try:
            found = dict(tensors(chosen(output, select)))
        except (KeyError, IndexError, ValueError, TypeError):
            found = {}
    if len(found) != 1:
        several = _several(output)
        if not several and not dict(tensors(output)):
            raise InvalidFolder(f"{where}: the model returns a {type(output).__name__}; Whence explains one tensor")
        told = f"{type(output).__name__} of {several}" if several else type(output).__name__
        raise InvalidFolder(
            f"{where}: the model returns a {told}; say which is explained, by --select NAME (an index of a tuple, a "
            "key of a mapping)"
        )
    (tensor,) = found.values()
    if not tensor.is_floating_point():
        kind = "complex numbers" if tensor.is_complex() else f"whole numbers ({str(tensor.dtype)[6:]})"
        right = "their abs(), or torch.view_as_real" if tensor.is_complex() else "the scores before argmax or rounding"
        raise InvalidFolder(f"{where}: the model returns {kind}, which have no slope; return {right}")


def _several(output: Any) -> str:
    """The tensors of an output by what selects them."""
    found = [(name.replace("['", ".").replace("[", ".").replace("']", "").replace("]", "")[1:], t)
             for name, t in tensors(output)]  # fmt: skip
    told = "; ".join(f"{name} {list(t.shape)}" for name, t in found[:SHOWN])
    return f"{len(found)} tensors ({told}{' ...' if len(found) > SHOWN else ''})" if found else ""


def tensors(output: Any, at: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of what a module returns, with the subscripts that lead to it."""
    if isinstance(output, Tensor):
        yield at, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from tensors(value, f"{at}[{key!r}]")
    elif isinstance(output, list | tuple):
        for i, value in enumerate(output):
            yield from tensors(value, f"{at}[{i}]")


def _untraced(error: Exception, inputs: Mapping[str, InputSpec]) -> str:
    """Why torch.export could not trace a module that runs."""
    kind, at = type(error).__name__, place_of(error)
    shapes = " and ".join(spoken(spec) for spec in inputs.values())
    if "DataDependent" in kind or "data-dependent" in str(error) or "unbacked" in str(error).lower():
        return (
            f"what the model computes depends on the values it meets{at}, and a graph has one course; write the choice "
            "with torch.where, or export one course alone"
        )
    if "fake tensor in the exported program" in str(error):
        return (
            "the model takes a value out of the trace, by .data or by keeping it in an attribute or a list; use "
            "Tensor.detach, and keep nothing"
        )
    return f"torch.export cannot trace the model for an input of the shape {shapes}{at} ({kind}: {first_line(error)})"
