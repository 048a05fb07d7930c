"""A rolling update and its rollback: API and workers of two versions, of Whence and of a model, while clients ask."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.fleet.stack import Asking, current, fleet, ready, state, until, write

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1800)]


def stands_for(url: str, digest: str) -> bool:
    return current(url, "m") == digest


def is_served(url: str, digest: str) -> bool:
    """By some worker, whatever the name stands for: one that comes back with an old version does not change that."""
    return any((one["digest"], one["state"]) == (digest, "ready") for one in state(url, "m").get("workers", ()))


def test_an_update_and_its_rollback_lose_nothing_and_mix_nothing(tmp_path: Path) -> None:
    """New ones come, old ones go, in either direction: no request fails, and each is computed by what it names."""
    old, new = tmp_path / "old", tmp_path / "new"
    digests = {write(old / "m", 1): 1, write(new / "m", 2): 2}
    first, second = digests
    with fleet(tmp_path / "run") as run:
        url, api = run.api(revision=1)
        crew = [run.worker(old, revision=1)]
        ready(url, ["m"])
        asking = Asking([url], digests, phase="old").start(6)
        asking.at("old", 3)
        for step, (models, revision, digest) in {"update": (new, 2, second), "rollback": (old, 1, first)}.items():
            asking.phase = step
            leaving, crew = crew, [run.worker(models, revision=revision)]
            other, other_api = run.api(revision=revision)
            ready(other, ["m"])
            until(partial(is_served, other, digest), f"the new worker of the {step} is ready")  # as a rollout waits
            asking.urls.insert(0, other)
            asking.at(step, 3)
            asking.urls.remove(url)
            asking.at(step, 1)
            run.end(api)
            for one in leaving:
                run.end(one)
            url, api = other, other_api
            until(partial(stands_for, url, digest), f"{step} done")
            asking.at(f"after the {step}", 3)
        asking.stop()
    print(asking.table())
    assert asking.mixed == []
    assert {word for _, _, word in asking.told} == {"v1", "v2"}
    assert (set(asking.of("old")), set(asking.of("after the update"))) == ({"v1"}, {"v2"})
    assert set(asking.of("after the rollback")) == {"v1"}
