"""Consensus: where several methods agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from workers.explanation.result import Attribution
from workers.methods.fields.held import Attributing
from workers.methods.method import Extent, Method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from workers.engine.model.batch import Batch
    from workers.engine.model.function import Function


class Consensus(Method):
    """The mean over several methods of each value's rank within its map, and how much they differ (S4 3.3).

    Maps are summed over channels where their channels differ in number. Ranks run from 0 to 1, (rank - 1/2) / values,
    ties sharing theirs, so that no method's scale counts; of a text its own tokens are ranked. `std` is the ranks'
    standard deviation over the methods. The info holds the methods' rank correlations with each other. Raises
    MethodNotApplicable where one of them does. Source: Hansen et al. 2001; Lange et al. 1999.
    """

    citation = "Hansen, Nielsen, Strother, Lange 2001, Consensus inference in neuroimaging; book ch. 3.3"
    question = "Which features do several methods agree on?"
    cost = "hundreds of passes"
    revision = 2

    of: Annotated[tuple[Attributing, ...], Field(min_length=2, max_length=20)] = Field(
        default=("gradient", "integrated_gradients", "occlusion"),  # type: ignore[arg-type]  # validated from their names
        description="The methods that are to agree.",
    )
    by: Literal["size", "value"] = Field(
        default="size",
        description="Rank by size, whatever the sign: 1 matters most. By value: 1 speaks for, 0 against the target.",
    )

    def passes(self, at: Extent, /) -> int:
        return sum(one.passes(at) for one in self.of)

    def refuse(self, model: Function) -> None:
        for one in self.of:
            one.refuse(model)

    def explain(self, model: Function, batch: Batch) -> Attribution:
        from workers.methods.nested.map_sums import as_stored
        from workers.methods.nested.ranks import correlation_matrix

        maps, spec = self._maps(model, batch), model.card.input
        units = self._units(model, batch, maps)
        names = [one.name for one in self.of]
        told = {"attribution": units.mean(1), "std": units.std(1, correction=0)}
        shape = maps[0].shape
        return Attribution(
            {name: as_stored(one, spec).view(shape) for name, one in told.items()},
            info=[{"methods": names, "correlation": correlation_matrix(row).tolist()} for row in units],
        )

    def _units(self, model: Function, batch: Batch, maps: Sequence[Tensor]) -> Tensor:
        """The ranks from 0 to 1 (n, methods, places), 0 of what is none of the input's own."""
        import torch

        from workers.methods.nested.own_places import at_places, own_places
        from workers.methods.nested.ranks import unit_ranks

        values = torch.stack([at_places(each, model.card.input, channels=False) for each in maps], 1)
        values = values.abs() if self.by == "size" else values
        found = torch.zeros(values.shape, dtype=torch.float64)
        for row, there in enumerate(own_places(model, batch, values.shape[2], channels=False)):
            found[row, :, there.cpu()] = unit_ranks(values[row][:, there])
        return found

    def _maps(self, model: Function, batch: Batch) -> list[Tensor]:
        from workers.methods.nested.ranks import summed_channels

        maps = []
        for done, one in enumerate(self.of):
            seeds = [getattr(one, "seed", 0)] * len(batch)
            maps.append(one.explain(model, batch.sharing(batch.targets, seeds)).arrays["attribution"])
            batch.report(done + 1, len(self.of), "methods")
        if len({each.shape for each in maps}) == 1:
            return maps
        return [summed_channels(each, model.card.input) for each in maps]
