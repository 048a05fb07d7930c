"""Several inputs at work: a list of all of them taken apart again, and what is computed for each by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from workers.explanation.card import InputSpec, Part
from workers.explanation.inputs import ONE, explained, given_parts, words_of
from workers.explanation.result import Attribution, Result, Synthesis


def separate(x: Tensor, spec: InputSpec) -> dict[str, Tensor]:
    """The inputs by name (n, *shape) of their list (n, numbers), and what is laid beside them."""
    return {part.name: piece(x, part) for part in spec.parts if not part.embedding}


def piece(x: Tensor, part: Part) -> Tensor:
    """What of a list (n, numbers) is a part's, in its shape (n, *shape)."""
    return x[:, part.start : part.stop].reshape(len(x), *part.shape)


def hold(altered: Tensor, x: Tensor, spec: InputSpec) -> Tensor:
    """The altered inputs with what is held as it is in x; both (n, ...)."""
    for part in spec.parts:
        if part.held:
            altered[:, part.start : part.stop] = x[:, part.start : part.stop]
    return altered


def by_part(x: Tensor, spec: InputSpec, make: Callable[[Tensor, Part], Tensor]) -> Tensor:
    """Something made of each part that is explained (n, *shape), end to end again, beside what is held."""
    made = x.clone()
    for part in explained(spec):
        made[:, part.start : part.stop] = make(piece(x, part), part).reshape(len(x), -1)
    return made


def outside(x: Tensor, spec: InputSpec, named: Mapping[str, InputSpec]) -> Tensor | None:
    """Of inputs end to end (n, numbers), which are of tokens that are none of a text: padding, and those added.

    Nothing takes these away, for they are there without the text, too. None where there are no texts and no padding.
    """
    found = None
    for part in (part for part in explained(spec) if part.embedding):
        held = {one.name: one for one in spec.parts if one.held}
        if words_of(part.name) in held:
            out = piece(x, held[words_of(part.name)]) < 0
        elif (padding := named[part.name].padding) is not None:
            out = piece(x, held[part.name]) == padding
        else:
            continue
        out = out if part.places is None else out.flatten(1)[:, part.places]
        found = torch.zeros_like(x, dtype=torch.bool) if found is None else found
        found[:, part.start : part.stop] = out.unsqueeze(-1).expand(-1, *part.shape).flatten(1)
    return found


def shares(spec: InputSpec, like: Tensor) -> Tensor:
    """By how much a place's one number is spread over its channels, at each number of a list; 0 of what is held."""
    found = torch.zeros(spec.shape, dtype=like.dtype, device=like.device)
    for part in explained(spec):
        found[part.start : part.stop] = 1 if part.channels is None else 1 / part.shape[part.channels]
    return found


def named(result: Result, spec: InputSpec, maps: bool, told: Collection[str] | None = None) -> Result:
    """The result with an array for each input that is explained, `attribution.NAME`, in place of one of all.

    So have maps of several classes, `by_class.NAME` (classes, *shape). That of a lone input that has no name is called
    as it was. Of ids, the embedding's axis is summed over; with `maps`, the one number that each place of an input has
    was spread over its channels, and is gathered again. Of inputs themselves each is given, ids as they are. Where an
    attribution tells of some inputs alone, they are `told`, and there is none of the others.
    """
    if not spec.parts:
        return result
    arrays: dict[str, Any] = {}
    lone = {part.name for part in explained(spec)} == {ONE}
    for name, array in result.arrays.items():
        several = isinstance(result, Attribution) and len(array.shape) > 2
        if isinstance(result, Synthesis) and tuple(array.shape[2:]) == spec.shape:
            given = {part.name: piece(torch.as_tensor(array)[0], part)[None] for part in given_parts(spec)}
            arrays.update({name if list(given) == [ONE] else f"{name}.{key}": one for key, one in given.items()})
        elif tuple(array.shape[2 if several else 1 :]) == spec.shape:
            whole = torch.as_tensor(array)
            found = _of_inputs(whole.reshape(-1, *spec.shape), spec, maps, told)
            arrays.update(
                {
                    name if lone else f"{name}.{key}": one.view(*whole.shape[:-1], *one.shape[1:])
                    for key, one in found.items()
                }
            )
        else:
            arrays[name] = array
    return replace(result, arrays=arrays)


def _of_inputs(array: Tensor, spec: InputSpec, maps: bool, told: Collection[str] | None) -> Mapping[str, Tensor]:
    found: dict[str, Tensor] = {}
    for part in (one for one in explained(spec) if told is None or one.name in told):
        own = piece(array, part)
        if part.channels is not None and not own.is_floating_point():  # numbers of segments, the same in all channels
            own = own.select(part.channels + 1, 0)
            found[part.name] = own if part.places is None else _at_places(own, part, spec, found.get(part.name))
            continue
        if part.channels is not None and (maps or part.embedding):
            own = own.sum(part.channels + 1, keepdim=not part.embedding)
        if part.places is not None:
            own = _at_places(own, part, spec)
        found[part.name] = found[part.name] + own if part.name in found else own
    return found


def _at_places(own: Tensor, part: Part, spec: InputSpec, known: Tensor | None = None) -> Tensor:
    """What an embedding has for each of its ids (n, ids of its own), at their places in the input (n, *shape).

    Floats are added up where an id is looked up twice; whole numbers are put in place of those known before.
    """
    shape = next(one.shape for one in spec.parts if one.name == part.name and not one.embedding)
    places = torch.tensor(part.places, device=own.device)
    if own.is_floating_point():
        return own.new_zeros(len(own), prod(shape)).index_add_(1, places, own).view(len(own), *shape)
    kept = own.new_zeros(len(own), prod(shape)) if known is None else known.flatten(1).clone()
    kept[:, places] = own
    return kept.view(len(own), *shape)
