"""`whence status`: whether a running Whence is ready, and how full it is."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.markup import escape
from rich.table import Table

from service.cli.asking import AWAY, HERE, connect
from service.cli.console import fail, out
from service.http.addresses import MODELS

NOT_READY = 1

Samples: TypeAlias = Mapping[str, Mapping[str, float]]


def status(
    url: Annotated[str, typer.Option("--url", envvar="WHENCE_URL", help="Where Whence runs.")] = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a running Whence is ready, what waits, and how full its stores are.

    Exit code 0: it is ready. 1: it answers, and is not. 3: nothing answers there.
    """
    try:
        with connect(url) as client:
            ready, counted, listed = (client.http.get(path) for path in ("/readyz", "/metrics", MODELS))
        told = ready.json()
        is_ready = ready.status_code == httpx.codes.OK
        found = document(is_ready, told, samples(counted.text) if counted.status_code == httpx.codes.OK else {})
        found["states"] = states(listed.json()["models"]) if listed.status_code == httpx.codes.OK else {}
    except httpx.HTTPError as error:
        fail(f"nothing answers at {url}: {str(error) or type(error).__name__}", AWAY)
    except (ValueError, KeyError, TypeError, AttributeError):
        fail(f"what answers at {url} is not Whence", AWAY)
    if as_json:
        out.print_json(data=found)
    else:
        out.print(table(found))
    sys.exit(0 if is_ready else NOT_READY)


def samples(text: str) -> Samples:
    """What Prometheus would read: values by name, and by the value of their one label ("" without one)."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if len(one.labels) <= 1:
                found.setdefault(one.name, {})["".join(one.labels.values())] = one.value
    return found


def states(models: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """In which state each model is, and why where that is not ready."""
    return {one["name"]: {"state": one["state"], "reason": one.get("reason")} for one in models}


def document(ready: bool, told: Mapping[str, Any], counted: Samples) -> dict[str, Any]:
    """What is said, as JSON; what its metrics do not tell (they may need a key) is empty."""

    def of(name: str) -> Mapping[str, float]:
        return counted.get(f"whence_{name}", {})

    waits, seconds, oldest = of("queue_jobs"), of("queue_seconds"), of("queue_oldest_seconds")
    memory, limit, evicted = of("redis_memory_bytes"), of("redis_memory_limit_bytes"), of("redis_evicted_keys_total")
    return {
        "ready": ready,
        "reason": None if ready else str(told["detail"]),
        "models": told["models"] if ready else [],
        "failed": told.get("failed", {}) if ready else {},
        "model_memory": {name: int(size) for name, size in of("model_memory_bytes").items()},
        "workers": {device: int(count) for device, count in of("workers").items()},
        "running": int(of("running_jobs").get("", 0)),
        "queue": {
            name: {"jobs": int(jobs), "seconds": seconds[name], "oldest_seconds": oldest[name]}
            for name, jobs in waits.items()
        },
        "stores": {
            name: {"bytes": int(used), "limit": int(limit[name]), "evicted": int(evicted[name])}
            for name, used in memory.items()
        },
        "explanations": {name: int(count) for name, count in of("explanations_total").items()},
        "problems": {name: int(count) for name, count in of("problems_total").items()},
    }


def _model(name: str, memory: Mapping[str, int]) -> str:
    return f"{name} ({memory[name] / 2**20:.1f} MiB)" if name in memory else name


def table(found: Mapping[str, Any]) -> Table:
    """For people."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column(no_wrap=True, style="bold")
    rows.add_column()
    rows.add_row("ready", "[green]yes[/]" if found["ready"] else f"[red]no[/]: {escape(found['reason'])}")
    rows.add_row("models", ", ".join(_model(name, found["model_memory"]) for name in found["models"]) or "none")
    failed = {name: {"state": "failed", "reason": reason} for name, reason in found["failed"].items()}
    for name, one in (failed | found["states"]).items():
        why = f": {escape(one['reason'])}" if one["reason"] else ""
        if one["state"] == "failed":
            rows.add_row("", f"[red]{name} cannot be served[/]{why}")
        elif one["state"] != "ready":
            rows.add_row("", f"{name} is {one['state']}{why}")
    rows.add_row("workers", ", ".join(f"{count} on {device}" for device, count in found["workers"].items()) or "none")
    rows.add_row("running", f"{found['running']} jobs")
    for name, one in found["queue"].items():
        since = f", the oldest for {one['oldest_seconds']:.0f} s" if one["jobs"] else ""
        rows.add_row(name, f"{one['jobs']} jobs wait, {one['seconds']:.1f} s of work{since}")
    for name, one in found["stores"].items():
        most = f" of {one['limit'] / 2**20:.0f}" if one["limit"] else ""
        gone = f", {one['evicted']} keys evicted" if one["evicted"] else ""
        rows.add_row(f"redis ({name})", f"{one['bytes'] / 2**20:.1f}{most} MiB{gone}")
    for name in ("explanations", "problems"):
        rows.add_row(name, ", ".join(f"{count} {of}" for of, count in sorted(found[name].items())) or "none")
    return rows
