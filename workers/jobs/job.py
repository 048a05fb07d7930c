"""Job: what determines an explanation. Its id is the SHA-256 of its canonical JSON."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from workers.explanation.card import FULL, Precision
from workers.explanation.names.dataset_classes import Classes
from workers.explanation.target import Target
from workers.methods.catalogue import AnyMethod


class Job(BaseModel):
    """One explanation to make: digests of the model and of the input, one target, one configured method.

    The precision is in its JSON, and so in its id, where it is not float32; and `classes`, which of the model's those
    of a dataset are, where names say so and the order does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    input: str | None
    target: Target | None
    method: AnyMethod
    precision: Precision = Field(default=FULL, exclude_if=lambda precision: precision == FULL)
    classes: Classes = Field(default={}, exclude_if=lambda classes: not classes)

    @cached_property
    def text(self) -> bytes:
        """Its canonical JSON: what the id is of, and all that a worker is told."""
        return canonical_json(self.canonical())

    @cached_property
    def id(self) -> str:
        """64 hex digits: the hash of everything that determines the result, every default filled in."""
        return hashlib.sha256(self.text).hexdigest()

    @cached_property
    def group(self) -> str:
        """What jobs of one pass have in common: model, precision, classes, method and revisions, less its seed."""
        parameters = {name: value for name, value in self.method.to_json().items() if name != "seed"}
        revisions = self.method.revisions()
        alike = {"model": self.model, "method": parameters, "revisions": revisions, "input": self.input is not None}
        alike |= self.model_dump(mode="json", include={"precision", "classes"})
        return hashlib.sha256(canonical_json(alike)).hexdigest()[:32]

    def prepare(self) -> None:
        """Make its id, its group and its text now, which take time where a method has many parameters."""
        _ = self.id, self.group

    def __hash__(self) -> int:
        return hash(self.id)

    def __copy__(self) -> Job:
        """Without what was made of this one's values, for a copy may be given others."""
        return type(self).model_construct(**{name: getattr(self, name) for name in type(self).model_fields})

    def canonical(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json"), "revisions": self.method.revisions()}


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
