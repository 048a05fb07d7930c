"""What one Redis carries: jobs per second by worker processes of a fake engine, and what a job costs; --quick: less.

A worker here is all of a worker but Celery and torch: it waits for the bell in the list that Celery waits at, claims,
"computes" for 20 ms (asleep), stores a result of 2 kB and finishes. Jobs come from two API replicas: Queue.submit in a
process each. --claims: a claim by what waits. --cost: Redis's processor for a job. --limit: as many as Redis takes.
--namespaces: Redis, replicas and workers on three hosts made of network namespaces, 1 ms apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import announce
from benchmarks.scale.costs import cost, limit, table
from benchmarks.scale.curve import curve, draw
from benchmarks.scale.hosts import NotHere, hosts_apart, redis_at

WORKERS = (1, 2, 4, 8, 16, 32)
APART_MS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser()
    for part in ("quick", "namespaces", "claims", "cost", "limit"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", type=Path)
    asked = parser.parse_args()
    announce("What one Redis carries: a fake engine of 20 ms")
    told: dict[str, Any] = {"load": os.getloadavg(), "cores": os.cpu_count()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        seconds, counts = (3.0, (1, 4)) if asked.quick else (8.0, asked.workers)
        if asked.namespaces:
            try:
                names, address = stack.enter_context(hosts_apart(APART_MS))
            except NotHere as reason:
                sys.exit(f"--namespaces is skipped: {reason}")
            url = stack.enter_context(redis_at(folder, names[0], address))
            told["apart"] = apart(names, url, seconds, counts)
        else:
            url = stack.enter_context(redis_at(folder, None, "127.0.0.1"))
            told |= beside(url, asked, seconds, counts)
    if asked.out:
        asked.out.write_text(json.dumps(told, indent=1) + "\n")


def beside(url: str, asked: argparse.Namespace, seconds: float, counts: Sequence[int]) -> dict[str, Any]:
    """One part, all on this host."""
    if asked.cost:
        found = {rows: cost(url, rows) for rows in (1, 32)}
        print(found)
        return {"cost": found}
    if asked.claims:
        return {"claims": table(url, asked.quick)}
    if asked.limit:
        return {"limit": limit(url, seconds)}
    rates = curve(url, seconds, counts, [None, None])
    if asked.draw:
        draw(rates, asked.draw)
    return {"curve": rates}


def apart(names: Sequence[str], url: str, seconds: float, counts: Sequence[int]) -> list[dict[str, float]]:
    """The curve is read from inside the first host."""
    code = (
        "import json; from benchmarks.scale.curve import curve; "
        f"print(json.dumps(curve({url!r}, {seconds}, {tuple(counts)!r}, {[names[1], names[2]]!r})))"
    )
    run = subprocess.run(
        ["ip", "netns", "exec", names[0], sys.executable, "-W", "ignore", "-c", code],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(run.stdout)
    return json.loads(run.stdout.splitlines()[-1])  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
