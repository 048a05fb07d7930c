"""The container files name what exists: commands, ports, users and settings are checked against the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.__main__ import SHUTDOWN_S
from service.cli.local.redis_binary import CACHE, JOBS, find_redis_server
from service.cli.local.up import MALLOC
from service.render.text.fonts import BEYOND_ASCII
from service.settings import Settings as ServiceSettings
from tests.tree import ROOT
from workers.runtime.settings import Settings as WorkerSettings
from workers.runtime.supervise.shutdown import GRACE_S

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DEPLOY = ROOT / "deploy"
INSIDE = ("worker", "worker-gpu", "redis", "redis-cache")


def redis_conf(name: str) -> Path:
    """The file that a Redis of the compose file reads."""
    (place,) = [volume for volume in SERVICES[name]["volumes"] if volume.endswith(":/etc/redis.conf:ro")]
    return ROOT / str(place).split(":")[0]


def stage(name: str) -> str:
    """The instructions of one stage, continuation lines joined."""
    match = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.DOTALL | re.MULTILINE)
    assert match is not None, name
    return match[1].replace("\\\n", " ")


def command(name: str) -> list[str]:
    found = re.search(r"^CMD (\[.*\])$", stage(name), re.MULTILINE)
    assert found is not None
    words: list[str] = yaml.safe_load(found[1])
    return words


def known(settings: type[ServiceSettings] | type[WorkerSettings]) -> set[str]:
    return {f"WHENCE_{field.upper()}" for field in settings.model_fields}


def test_the_api_image_installs_no_torch() -> None:
    assert "worker" not in stage("api-installed") + stage("source").replace("COPY workers workers", "")
    assert "[worker,otel]" in stage("computing")
    assert "pip install" not in stage("slim") + stage("api") + stage("worker"), "the shipped stages only copy"


def test_what_is_shipped_can_neither_build_nor_install() -> None:
    """The stages that install leave their pip behind, and the base loses its own."""
    for name in ("api-installed", "worker-installed"):
        assert re.search(r"pip uninstall --yes .*\bpip$", stage(name), re.MULTILINE)
    assert "pip uninstall --yes setuptools wheel pip" in stage("slim")
    for name in ("slim", "api", "worker"):
        assert "apt-get" not in stage(name)


def test_images_have_fonts_for_labels_in_other_letters() -> None:
    assert "fonts-dejavu-core fonts-droid-fallback" in stage("fonts")
    assert {"DejaVuSans.ttf", "DroidSansFallbackFull.ttf"} <= set(BEYOND_ASCII)
    assert "COPY --from=fonts /usr/share/fonts/truetype /usr/share/fonts/truetype\n" in stage("slim")


def test_images_run_as_somebody() -> None:
    user = re.search(r"^USER (\d+)$", stage("slim"), re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    for name in ("api", "worker"):
        assert f"FROM slim AS {name}\n" in DOCKERFILE
        assert "USER" not in stage(name)


def test_versions_are_pinned() -> None:
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    for service in SERVICES.values():
        assert re.fullmatch(r"whence-[\w-]+|[\w/]+:v?\d+\.\d+\.\d+(-alpine)?", service["image"])
    assert DOCKERFILE.count("--constraint constraints.txt") == 2


@pytest.mark.parametrize("name", ["api", "worker"])
def test_an_image_runs_a_module_that_exists(name: str) -> None:
    python, flag, module, *_ = command(name)
    assert (python, flag) == ("python", "-m")
    assert (ROOT / module / "__main__.py").is_file()


def test_health_is_asked_of_what_exists() -> None:
    assert 'CMD ["python", "-m", "workers.alive", "--or-unheard"]' in stage("worker")
    assert (ROOT / "workers" / "alive.py").is_file()
    assert "/healthz" in stage("api")


def test_the_api_command_has_only_options_that_exist() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "service", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    options = [word for word in command("api") if word.startswith("--")]
    assert options
    assert all(option in shown.stdout for option in options)


def test_ports_agree() -> None:
    port = command("api")[command("api").index("--port") + 1]
    assert f"EXPOSE {port}\n" in stage("api")
    assert f":{port}/healthz" in stage("api")
    proxy = (DEPLOY / "nginx" / "nginx.conf").read_text()
    assert f"http://api:{port};" in proxy
    listens = re.search(r"listen (\d+);", proxy)
    assert listens is not None
    assert SERVICES["nginx"]["ports"] == [f"${{WHENCE_BIND:-127.0.0.1}}:${{WHENCE_PORT:-8000}}:{listens[1]}"]


def test_what_is_not_the_front_is_reached_from_this_machine_at_most() -> None:
    for name, service in SERVICES.items():
        assert name == "nginx" or all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_prometheus_finds_what_it_asks() -> None:
    told = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    asked = [
        (name, place["port"])
        for job in told["scrape_configs"]
        for place in job["dns_sd_configs"]
        for name in place["names"]
    ]
    port = SERVICES["worker"]["environment"]["WHENCE_METRICS_PORT"]
    assert asked == [("api", 8000), ("worker", port), ("worker-gpu", port)]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in told["rule_files"])
    assert set(SERVICES["prometheus"]["networks"]) == {"edge", "stores"}


def test_every_file_that_is_mounted_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            if place.startswith("./"):
                assert (ROOT / place).exists(), place


def test_there_is_time_to_end_well() -> None:
    assert SERVICES["api"]["stop_grace_period"] == "30s"
    assert SHUTDOWN_S < 30
    for name in ("worker", "worker-gpu"):
        assert SERVICES[name]["stop_grace_period"] == "1m"
    assert GRACE_S * 10 <= 60


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu"])
def test_the_environment_names_settings_that_exist(name: str) -> None:
    settings = known(ServiceSettings) if name == "api" else known(WorkerSettings)
    named = {key for key in SERVICES[name]["environment"] if key.startswith("WHENCE_")}
    assert {"WHENCE_REDIS_URL", "WHENCE_CACHE_URL"} <= named <= settings


def test_the_worker_image_sets_what_the_supervisor_sets() -> None:
    assert all(f"{key}={value}" in stage("worker") for key, value in MALLOC.items())
    assert set(re.findall(r"WHENCE_\w+", stage("worker"))) <= known(WorkerSettings)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "always"
    assert "privileged" not in service


def test_models_are_mounted_read_only_where_the_worker_looks() -> None:
    place = re.search(r"WHENCE_MODELS=(\S+)", stage("worker"))
    assert place is not None
    for name in ("worker", "worker-gpu"):
        assert SERVICES[name]["volumes"][0].endswith(f":{place[1]}:ro")


def test_the_api_writes_datasets_where_the_worker_reads_them() -> None:
    place = re.search(r"WHENCE_DATASETS=(\S+)", stage("slim"))
    assert place is not None
    assert SERVICES["api"]["volumes"][0] == f"${{WHENCE_DATASETS:-datasets}}:{place[1]}"
    for name in ("worker", "worker-gpu"):
        assert f"{SERVICES['api']['volumes'][0]}:ro" in SERVICES[name]["volumes"]
    assert "datasets" in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["api", "worker", "worker-gpu"])
def test_large_things_lie_where_both_sides_may_write(name: str) -> None:
    place = SERVICES[name]["environment"]["WHENCE_OBJECTS"]
    assert f"objects:{place}" in SERVICES[name]["volumes"]
    assert f" {place}\n" in stage("slim")  # made with the right owner, which a new volume takes over
    assert "objects" in COMPOSE["volumes"]


def test_stores_are_out_of_reach() -> None:
    assert COMPOSE["networks"]["stores"]["internal"] is True
    assert all(SERVICES[name]["networks"] == ["stores"] for name in INSIDE)
    assert "edge" not in SERVICES["redis"]["networks"]
    assert "stores" not in SERVICES["nginx"]["networks"]


@pytest.mark.parametrize(("name", "settings"), [("redis", JOBS), ("redis-cache", CACHE)])
def test_each_redis_has_the_policy_of_the_embedded_one(name: str, settings: tuple[str, ...]) -> None:
    assert SERVICES[name]["command"] == ["redis-server", "/etc/redis.conf"]
    lines = [line for line in redis_conf(name).read_text().splitlines() if line and not line.startswith("#")]
    assert set(settings) <= set(lines)


def test_the_stores_start_before_what_needs_them() -> None:
    for name in ("api", "worker", "worker-gpu"):
        needs = SERVICES[name]["depends_on"]
        assert {key: need["condition"] for key, need in needs.items()} == dict.fromkeys(
            ("redis", "redis-cache"), "service_healthy"
        )
        assert all("healthcheck" in SERVICES[key] for key in needs)


@pytest.mark.parametrize("name", ["redis", "redis-cache"])
def test_redis_accepts_the_options_of_its_container(name: str, tmp_path: Path) -> None:
    options = [str(redis_conf(name))]
    socket = tmp_path / "redis.sock"
    place = ["--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    with subprocess.Popen([find_redis_server(), *options, *place], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = iter(server.stdout.readline, "")
        ready = any("ready to accept connections" in line for line in said)
        server.terminate()
    assert ready


def test_the_build_sees_only_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "**"
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    allowed = {line.removeprefix("!").removesuffix("/**") for line in lines if line.startswith("!")}
    assert {name for line in copied for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)
