"""Whether an exported model is its module: the same outputs and the same gradients on the same inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from workers.engine.graph.embeddings import embeddings
from workers.engine.graph.graph import Graph
from workers.engine.model.inputs import piece
from workers.engine.model.model import Model
from workers.explanation.card import InputSpec
from workers.explanation.errors import InvalidFolder
from workers.models.export.called import Called
from workers.models.export.diagnosis import Difference, diagnose, not_finite
from workers.models.export.eager_run import Seen, watched
from workers.models.export.example_inputs import plausible
from workers.models.export.program import tensors
from workers.models.export.tracebacks import first_line, place_of

# float32 decides for a model; against it, only float64, where a kink or a sum's order moves nothing so far
TOLERANCES = {torch.float32: 1e-3, torch.float64: 1e-5}
HELD_IN = {torch.float32: nn.Module.float, torch.float64: nn.Module.double}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The output for one input (m, ...), and the gradients of a projection of it by what each is of: the input, or
    the output of an embedding. m is 2 where the module does not run on a lone row. `slopes` says whether there are any.
    """

    output: Tensor
    gradients: list[tuple[Tensor, Tensor]]
    slopes: bool


def called(module: nn.Module, model: Model, program: ExportedProgram) -> nn.Module:
    """The module as one of a single tensor in and out, which takes inputs of other kinds in floats."""
    spec = model.spec
    if not model.card.input.parts and spec.select is None:
        return module
    types = {name: dtype for name, dtype in zip(spec.fed, input_types(program), strict=True) if dtype is not None}
    return Called(module, spec.fed, types, spec.select)


def check(module: nn.Module, model: Model, program: ExportedProgram, x: Tensor) -> None:
    """Raise InvalidFolder where the model's outputs or gradients on x (n, *shape) are not the module's."""
    kind, found = _kind(module, program), None
    for dtype, tolerance in TOLERANCES.items():
        ours = model if dtype is model.dtype else Model.from_program(model.spec, program, dtype=dtype)
        try:
            found = _difference(HELD_IN[dtype](module), ours, x.to(dtype), kind, tolerance)
        except Exception as error:
            if found is None:
                raise InvalidFolder(
                    f"the model runs, but its gradients cannot be taken{place_of(error)}: {first_line(error)}"
                ) from None
            log.debug("%s does not run in %s", model.spec.name, dtype, exc_info=True)
        if found is None:
            _check_together(model, x)
            _remark(module, model.spec.name, x, kind)
            return
    assert found is not None
    raise InvalidFolder(diagnose(found, model.graph, program, _repeats(module, found.row, kind)))


def _check_together(model: Model, x: Tensor) -> None:
    x = model.embedded(x)
    alone = torch.cat([model.forward(row[None]) for row in x])
    if _apart(model.forward(x), alone, TOLERANCES[torch.float32]):
        raise InvalidFolder(
            "the model answers an input otherwise beside other inputs than alone; let nothing in it depend on the rest "
            "of its batch, as the statistics of a norm that keeps none do"
        )


def _remark(module: nn.Module, name: str, x: Tensor, kind: torch.dtype | None) -> None:
    """Say what the graph leaves out without a difference on what was tried."""
    with watched(module, x.dtype) as seen:
        output = run(module, x[:1].clone().requires_grad_(), kind)
    for function, path in seen.own.items():
        log.warning(
            "%s: the autograd Function %s%s has a backward of its own, which a graph does not keep; on the inputs "
            "tried the gradients are the same", name, function, f" in the layer {path}" if path else "",
        )  # fmt: skip
    if seen.cut and not output.requires_grad:
        log.warning(
            "%s: the module allows no gradients (%s); what is explained is the function that it computes",
            name, ", ".join(seen.cut),
        )  # fmt: skip


def _repeats(module: nn.Module, row: Tensor, kind: torch.dtype | None) -> bool:
    with watched(module, row.dtype), torch.no_grad():
        first, second = (run(module, row[None], kind) for _ in range(2))
    return torch.equal(first, second)


def input_types(program: ExportedProgram) -> list[torch.dtype | None]:
    """The types of whole numbers that the program was exported for, by input; None where that are floats."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    given = [values[name].dtype for name in program.graph_signature.user_inputs if name in values]
    return [None if dtype.is_floating_point else dtype for dtype in given]


def _kind(module: nn.Module, program: ExportedProgram) -> torch.dtype | None:
    """The type of whole numbers that the module takes as they are; None where it takes floats."""
    return None if isinstance(module, Called) else input_types(program)[0]


def sample(module: nn.Module, model: Model, program: ExportedProgram, example: Tensor | None = None) -> Tensor:
    """The example, or what is plausible, that the module gives finite numbers for.

    Raises InvalidFolder, naming where the first numbers arise that are not finite.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point() and value.isnan().any():
            raise InvalidFolder(f"its weights {name} hold NaN, as those of a training that diverged; give others")
    problem, kind = "", _kind(module, program)
    tried: Iterable[Tensor] = plausible(model) if example is None else (example,)
    for x in tried:
        try:
            with watched(module.float(), torch.float32), torch.no_grad():
                output = torch.cat([run(module, row[None], kind) for row in x])
        except Exception as error:
            problem = problem or f"does not run on {_what(x, example)}{place_of(error)}: {first_line(error)}"
            continue
        if output.isfinite().all():
            return x
        problem = problem or f"gives {not_finite(model.graph, x, output)} for {_what(x, example)}"
    right = "; give an input that it is meant for, by --example FILE" if example is None else ""
    raise InvalidFolder(f"the model {problem}{right}")


def _what(x: Tensor, example: Tensor | None) -> str:
    given = "the example" if example is not None else "a plausible input"
    return f"{given} (values {x.min().item():.3g} to {x.max().item():.3g})"


def _difference(
    module: nn.Module, model: Model, x: Tensor, kind: torch.dtype | None, tolerance: float
) -> Difference | None:
    for row in x:
        with watched(module, row.dtype) as seen:
            theirs = _by_module(module, row[None], kind, seen)
        given = model.embedded(row[None])
        ours = _by_graph(model.graph, given.expand(len(theirs.output), *given.shape[1:]))
        ours, theirs = (_by_input(answer, model.card.input) for answer in (ours, theirs))
        if ours.output.shape != theirs.output.shape:
            shapes = f"{list(ours.output.shape[1:])} instead of {list(theirs.output.shape[1:])}"
            return Difference(f"outputs of the shape {shapes}", float("inf"), 0.0, row, seen)
        if gap := _apart(ours.output, theirs.output, tolerance):
            return Difference("outputs", *gap, row, seen)
        if not theirs.slopes:
            continue  # it forbids gradients as a whole, and so contradicts none
        for at, gradient in ours.gradients:
            other = next((g for place, g in theirs.gradients if _equal(place.flatten(), at.flatten(), tolerance)), None)
            if other is not None and (gap := _apart(gradient.flatten(), other.flatten(), tolerance)):
                return Difference("gradients", *gap, row, seen)
    return None


@torch.no_grad()
def _apart(ours: Tensor, theirs: Tensor, tolerance: float) -> tuple[float, float] | None:
    """The largest gap and the largest value, where the gap is larger than it may be."""
    if ours.shape != theirs.shape:
        return float("inf"), 0.0
    gap, size = float((ours - theirs).abs().max()), float(theirs.abs().max())
    return None if gap <= tolerance * max(size, float(ours.abs().max())) else (gap, size)


def _equal(one: Tensor, other: Tensor, tolerance: float) -> bool:
    return _apart(one, other, tolerance) is None


def run(module: nn.Module, row: Tensor, kind: torch.dtype | None) -> Tensor:
    """The output for a lone row (1, *shape), or for that row twice where the module does not run on one."""
    twice = row.expand(2, *row.shape[1:])
    try:
        output = _tensor(module(row if kind is None else row.to(kind)))
    except Exception:
        return _tensor(module(twice if kind is None else twice.to(kind)))
    if output.dim() and len(output) == 1:
        return output
    return _tensor(module(twice if kind is None else twice.to(kind)))


def _tensor(output: Any) -> Tensor:
    (found,) = tensors(output)
    return found[1]


def _by_module(module: nn.Module, row: Tensor, kind: torch.dtype | None, seen: Seen) -> Answer:
    x = row.clone().requires_grad_()
    output = run(module, x, kind)
    return _answer(output, [x, *seen.looked_up])


def _by_graph(graph: Graph, rows: Tensor) -> Answer:
    x = rows[:1].clone().requires_grad_()
    looked_up = {node.index for node in embeddings(graph)}
    values: list[Any] = [x.expand(rows.shape)]
    starts = [x]
    with torch.enable_grad():
        for node in graph.nodes[1:]:
            value = node.run(values)
            if node.index in looked_up:
                found, *others = value if isinstance(value, tuple) else (value,)
                starts.append(found.detach().requires_grad_())
                value = (starts[-1], *others) if others else starts[-1]
            values.append(value)
        return _answer(values[graph.output], starts)


def _by_input(answer: Answer, spec: InputSpec) -> Answer:
    """The gradients by input, of an answer of several end to end; those at ids are none."""
    found = [
        (piece(x, part), piece(slope, part)) if len(x.shape) == 2 and x.shape[1] >= part.stop else None
        for x, slope in answer.gradients[:1]
        for part in spec.parts
        if part.embedding or not part.held
    ]
    given = [one for one in found if one is not None]
    return Answer(answer.output, [*given, *answer.gradients[1:]], answer.slopes) if spec.parts else answer


def _answer(output: Tensor, starts: list[Tensor]) -> Answer:
    found = [torch.zeros_like(start) for start in starts]
    if output.requires_grad:
        weights = torch.randn(output.shape[1:], generator=torch.Generator().manual_seed(0)).to(output.dtype)
        found = list(torch.autograd.grad((output * weights).sum(), starts, allow_unused=True, materialize_grads=True))
    return Answer(output, list(zip(starts, found, strict=True)), output.requires_grad)
