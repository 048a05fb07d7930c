"""From a module to its exported program, for any number of rows; what cannot be exported is refused in a sentence."""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from workers.engine.compile import attention_dropout
from workers.explanation.errors import InvalidFolder
from workers.models.export.tracebacks import first_line, place_of

SHOWN = 4

log = logging.getLogger(__name__)


def export_module(
    module: nn.Module, shape: tuple[int, ...], where: str, example: Tensor | None = None
) -> ExportedProgram:
    """The module's program for inputs (n, *shape), any n; for n = 1 alone, with a warning, where that is all it can.

    It is traced with `example` (n, *shape), else with zeros or ones, in the type that the module takes: float32, its
    weights' own, or whole numbers. Raises InvalidFolder.
    """
    _check_kind(module.eval(), where)
    module.to("cpu")
    tried = [torch.zeros(2, *shape), torch.ones(2, *shape)] if example is None else [example[:1].expand(2, *shape)]
    given = _taken(module, tried, where)
    module.requires_grad_(False)
    try:
        return _exported(module, given, {0: Dim("batch")})
    except Exception as open_error:
        log.debug("torch.export.export failed on %s for any number of rows", where, exc_info=True)
        try:
            program = _exported(module, given[:1].clone(), None)
        except Exception as error:
            log.debug("torch.export.export failed on %s", where, exc_info=True)
            raise InvalidFolder(f"{where}: {_untraced(error, shape)}") from None
        log.warning(
            "%s: its inputs run one at a time, for its batch axis cannot stay open%s: %s",
            where, place_of(open_error), _why_fixed(open_error),
        )  # fmt: skip
        return program


def _why_fixed(error: Exception) -> str:
    """What torch says of an axis that its code fixes: one line of a list, where it gives one."""
    listed = [line.strip()[2:] for line in str(error).splitlines() if line.strip().startswith("- ")]
    return listed[0].partition(". ")[0][:200] if listed else first_line(error)


def _exported(module: nn.Module, given: Tensor, axes: dict[int, Any] | None) -> ExportedProgram:
    first = next(iter(_parameters(module)), None)
    several = first is not None and first.kind is first.VAR_POSITIONAL
    shapes = None if axes is None else (((axes,) if several else axes),)

    def traced() -> ExportedProgram:
        return torch.export.export(module, (given,), dynamic_shapes=shapes)

    def training() -> ExportedProgram:
        try:
            module.train()
            return traced()
        finally:
            module.eval()

    with redirect_stderr(io.StringIO()):  # torch prints the part that it has traced when it gives up
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


def _taken(module: nn.Module, tried: list[Tensor], where: str) -> Tensor:
    """Two rows of the values and the type that the plain module runs on; raises InvalidFolder in its own words."""
    _check_signature(module, where)
    stored = {p.dtype for p in (*module.parameters(), *module.buffers())}
    own = sorted((dtype for dtype in stored if dtype.is_floating_point), key=str)
    problem: Exception | None = None
    for dtype in dict.fromkeys((torch.float32, *own, torch.int64)):
        for rows in (each[:count].to(dtype) for each in tried for count in (1, 2)):  # some do not run on a lone row
            try:
                with torch.no_grad():
                    output = module(rows)
            except Exception as error:
                problem = problem or error
            else:
                _check_output(output, where)
                return rows.expand(2, *rows.shape[1:]).clone()
    assert problem is not None
    log.debug("%s does not run", where, exc_info=problem)
    raise InvalidFolder(
        f"{where}: the model does not run on an input of the shape {list(tried[0].shape[1:])}{place_of(problem)}: "
        f"{first_line(problem)}"
    )


def _check_signature(module: nn.Module, where: str) -> None:
    parameters = _parameters(module)
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    wanted = [p.name for p in parameters if p.default is p.empty and (p in placed or p.kind is p.KEYWORD_ONLY)]
    if len(wanted) > 1 or (parameters and not (placed or any(p.kind is p.VAR_POSITIONAL for p in parameters))):
        told = ", ".join(wanted) or "none"
        raise InvalidFolder(
            f"{where}: the model's forward takes {len(wanted)} inputs ({told}); Whence explains models of one tensor: "
            "let the factory return a module whose forward takes that one and fixes the others"
        )


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    """What forward takes; nothing where that cannot be told."""
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []


def _check_output(output: Any, where: str) -> None:
    """Raise InvalidFolder for what is not one tensor of floats, with what would make it one."""
    found = dict(tensors(output))
    if len(found) != 1:
        several = "; ".join(f"{name or 'output'} {list(t.shape)}" for name, t in list(found.items())[:SHOWN])
        several += " ..." if len(found) > SHOWN else ""
        first = next(iter(found), "[0]")
        told = f"{type(output).__name__} of {len(found)} tensors ({several})" if found else type(output).__name__
        raise InvalidFolder(
            f"{where}: the model returns a {told}; Whence explains one tensor: choose it in the factory, as by "
            f"model.register_forward_hook(lambda module, inputs, output: output{first})"
        )
    (tensor,) = found.values()
    if not tensor.is_floating_point():
        kind = "complex numbers" if tensor.is_complex() else f"whole numbers ({str(tensor.dtype)[6:]})"
        right = "their abs(), or torch.view_as_real" if tensor.is_complex() else "the scores before argmax or rounding"
        raise InvalidFolder(f"{where}: the model returns {kind}, which have no slope; return {right}")


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


def _untraced(error: Exception, shape: tuple[int, ...]) -> str:
    """Why torch.export could not trace a module that runs."""
    kind, at = type(error).__name__, place_of(error)
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
    return (
        f"torch.export cannot trace the model for an input of the shape {list(shape)}{at} ({kind}: {first_line(error)})"
    )
