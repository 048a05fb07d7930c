"""What a job needs of a worker, and a worker's profile: the set of what it serves. A job goes where all it needs is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from typing import Any

from workers.explanation.card import FULL, Precision
from workers.jobs.job import Job, canonical_json
from workers.methods.catalogue import catalogue
from workers.methods.method import Method, with_models

NOTHING = "-"  # the profile of who has told of none


def needs(job: Job) -> list[str]:
    """The words for the versions of models and the methods that the job names, the method's own held ones too."""
    models = (_of_model(digest, job.precision) for digest in models_of(job))
    return [*sorted(models), *sorted({word_of(type(one)) for one in _all(job.method)})]


def models_of(job: Job) -> set[str]:
    """The digests of the models that the job needs: its own, and those that its method names."""
    models = {job.model}

    def note(digest: str, _: str) -> str:
        models.add(digest)
        return digest

    with_models(job.method, note)
    return models


def served(digests: Iterable[str], precisions: Iterable[Precision] = (FULL,)) -> list[str]:
    """The words for what a worker of this version of Whence serves, that has models of these digests."""
    models = (_of_model(*one) for one in product(digests, precisions))
    return [*sorted(models), *sorted(map(word_of, catalogue().values()))]


@cache
def methods() -> str:
    """What the methods of this version of Whence go by, with their revisions and parameters."""
    return name_of(served(()))


def name_of(words: Sequence[str]) -> str:
    """What a profile of these words goes by."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def lacking(words: str) -> tuple[list[str], list[str]]:
    """Of what a job needs, the digests of models, and the methods with their revisions, as people write them.

    A digest has `@bfloat16` behind it, where its model is to be computed so.
    """
    told = [word.split(":", 1) for word in words.split()]
    models = [rest for kind, rest in told if kind == "model"]
    return models, [" at revision ".join(rest.split(":")[:2]) for kind, rest in told if kind == "method"]


def word_of(kind: type[Method]) -> str:
    """A method's name and revision, and a mark of its parameters' names: an id holds them all."""
    return f"method:{kind.model_fields['name'].default}:{kind.revision}:{_mark(kind)}"


@cache
def _mark(kind: type[Method]) -> str:
    return hashlib.sha256(canonical_json(_names(kind.model_json_schema()))).hexdigest()[:8]


def _of_model(digest: str, precision: Precision) -> str:
    """In float32 its digest alone, as it was before there was another."""
    return f"model:{digest}" if precision == FULL else f"model:{digest}@{precision}"


def _all(method: Method) -> list[Method]:
    return [method, *(deep for held in method.inner() for deep in _all(held))]


def _names(schema: Any) -> Any:
    """The names of the properties in a JSON Schema, at each depth."""
    if isinstance(schema, list):
        return [found for one in schema if (found := _names(one))]
    if not isinstance(schema, dict):
        return None
    own = {name: _names(one) for name, one in schema.get("properties", {}).items()}
    rest = {key: found for key, one in schema.items() if key != "properties" and (found := _names(one))}
    return {**rest, **({"properties": own} if own else {})} or None
