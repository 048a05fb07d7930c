"""What a method returns: named arrays and small info, one item per row of the batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["attribution", "synthesis", "graph", "clustering", "scores", "state", "collection"]
Array: TypeAlias = Any  # a numpy array, or a torch tensor until the rows are split
JSON: TypeAlias = Any
PREVIEW = "preview"  # what is kept of unfinished work under this name is for people to look at, not to go on from


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of a method's theory and by how much this result misses it.

    `gap` is |observed - expected| / |expected| (absolute where expected is 0).
    """

    name: str
    expected: float
    observed: float

    @property
    def gap(self) -> float:
        distance = abs(self.observed - self.expected)
        return distance / abs(self.expected) if self.expected else distance

    def to_json(self) -> dict[str, JSON]:
        return {"name": self.name, "expected": self.expected, "observed": self.observed, "gap": self.gap}


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a Result: numpy arrays without the batch axis, its checks, its info."""

    kind: Kind
    arrays: Mapping[str, NDArray[Any]]
    checks: Sequence[Check]
    info: Mapping[str, JSON]


@dataclass(frozen=True)
class Result:
    """Named arrays whose first axis is the batch, with checks and info per row.

    A kind's first array carries its own name (`attribution` of an Attribution).
    """

    arrays: Mapping[str, Array]
    checks: Sequence[Sequence[Check]] = ()
    info: Sequence[Mapping[str, JSON]] = ()

    kind: ClassVar[Kind]

    def rows(self) -> list[Row]:
        """Split into rows; torch tensors become float32 numpy arrays on the host."""
        arrays = {name: to_numpy(array) for name, array in self.arrays.items()}
        count = len(next(iter(arrays.values())))
        return [
            Row(
                self.kind,
                {name: array[i] for name, array in arrays.items()},
                self.checks[i] if self.checks else (),
                self.info[i] if self.info else {},
            )
            for i in range(count)
        ]


class Attribution(Result):
    """`arrays["attribution"]`: a value per input feature; shaped like the input, or one channel."""

    kind = "attribution"


class Synthesis(Result):
    """`arrays["synthesis"]`: an input made up, in the model's own units."""

    kind = "synthesis"


@dataclass(frozen=True)
class Graph(Result):
    """`info`: nodes and edges; `own`: further arrays of each row, without the batch axis, named for its layers."""

    own: Sequence[Mapping[str, Array]] = ()

    kind = "graph"

    def rows(self) -> list[Row]:
        """As of any result, each with its own arrays."""
        rows = super().rows()
        if not self.own:
            return rows
        return [
            replace(row, arrays={**row.arrays, **{name: to_numpy(array) for name, array in mine.items()}})
            for row, mine in zip(rows, self.own, strict=True)
        ]


class Clustering(Result):
    """`arrays["clustering"]`: the cluster of each item."""

    kind = "clustering"


class Scores(Result):
    """`arrays["scores"]`: one number, or a curve."""

    kind = "scores"


class Collection(Result):
    """`arrays["collection"]`: of each item of a dataset, whether it was explained."""

    kind = "collection"


class State(Result):
    """Something fitted on data, for other methods to use."""

    kind = "state"


def to_numpy(array: Array) -> NDArray[Any]:
    """A numpy array of the same values; half precision becomes float32, tensors leave their device."""
    if hasattr(array, "detach"):
        array = array.detach()
        array = (array.float() if array.is_floating_point() else array).cpu().numpy()
    values = np.asarray(array)
    return values.astype(np.float32) if values.dtype in (np.float16, np.float64) else values
