"""A few seconds of `make fuzz`: archives broken at random load, or one sentence says why not."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz import archives


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what torch says of a broken graph
@pytest.mark.parametrize(("broken", "examples"), [(archives.broken_json(), 40), (archives.broken_bytes(), 40)])
def test_a_broken_archive_loads_or_is_told(broken: object, examples: int) -> None:
    became: Counter[str] = Counter()
    archives.fuzz(broken, examples, 1, lambda what: became.update([what]))  # type: ignore[arg-type]
    assert became.total() >= examples
    assert len(became) > 3
