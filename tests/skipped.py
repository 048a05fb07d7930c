"""What was skipped and why, in one line that a person understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest


def told(reports: Iterable[pytest.TestReport]) -> str:
    """`skipped 12: 10 because nginx is not installed; 2 because ...`, the most frequent reason first; "" for none."""
    reasons = Counter(_reason(report) for report in reports)
    parts = [f"{count} because {reason}" for reason, count in reasons.most_common()]
    return f"skipped {reasons.total()}: {'; '.join(parts)}" if parts else ""


def _reason(report: pytest.TestReport) -> str:
    at = report.longrepr
    text = at[2] if isinstance(at, tuple) else str(at)
    return text.removeprefix("Skipped: ")
