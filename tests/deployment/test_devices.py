"""A deployment has the worker of its device, and each worker's image the torch of that."""

from __future__ import annotations

import re

from tests.deployment.test_deployment import DOCKERFILE, SERVICES, stage
from tests.tree import ROOT


def test_a_gpu_replaces_the_cpu_worker() -> None:
    """A profile that compose is told takes the place of the one that `.env` names."""
    named = dict(line.split("=") for line in (ROOT / ".env").read_text().splitlines() if not line.startswith("#"))
    assert named == {"COMPOSE_PROFILES": "cpu"}
    of = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert (of["worker"], of["worker-gpu"]) == (["cpu"], ["gpu"])
    for profile in ("cpu", "gpu"):
        started = {name for name, profiles in of.items() if not profiles or profile in profiles}
        assert len(started & {"worker", "worker-gpu"}) == 1
        assert {"api", "nginx", "redis", "redis-cache"} <= started


def test_each_worker_has_the_torch_of_its_device() -> None:
    assert "ARG TORCH=cpu\n" in stage("computing"), "what nobody asks to have CUDA has none"
    assert "torch.version.cuda" in stage("computing"), "a build with the other torch fails"
    built = {
        name: (SERVICES[name]["image"], SERVICES[name]["build"]["args"]["TORCH"]) for name in ("worker", "worker-gpu")
    }
    assert built == {"worker": ("whence-worker", "cpu"), "worker-gpu": ("whence-worker-gpu", "cuda")}
    assert SERVICES["worker"]["environment"]["WHENCE_DEVICE"] == "cpu"
    for arg in SERVICES["worker"]["build"]["args"]:
        assert re.search(rf"^ARG {arg}\b", DOCKERFILE, re.MULTILINE)
    for name in ("worker-installed", "explainer-installed"):
        assert f"FROM computing AS {name}\n" in DOCKERFILE
