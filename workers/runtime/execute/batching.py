"""Which claimed works may share one pass through the model: pure."""

from collections.abc import Iterator, Sequence

from workers.jobs.records import Work
from workers.methods.cost import share


def batches(works: Sequence[Work]) -> Iterator[list[Work]]:
    """Works of one group together, in order of arrival, cut to as many rows as one pass may take."""
    groups: dict[str, list[Work]] = {}
    for work in works:
        groups.setdefault(work.job.group, []).append(work)
    for group in groups.values():
        rows = share(group[0].job.method, group[0].passes)
        yield from (group[i : i + rows] for i in range(0, len(group), rows))
