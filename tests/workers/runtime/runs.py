"""What the tests of run and run_passes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workers.explanation.errors import ExplainError
from workers.jobs.work import Work
from workers.runtime.execute.run import Outcome

Run = Callable[[Sequence[Work]], dict[str, Outcome]]


def codes(outcomes: dict[str, Outcome], works: Sequence[Work]) -> list[str]:
    found = [outcomes[work.id] for work in works]
    return [outcome.code if isinstance(outcome, ExplainError) else "succeeded" for outcome in found]
