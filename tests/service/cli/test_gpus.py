"""GPUs are dealt out to workers by the environment alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.local import gpus
from service.cli.local.gpus import found, share
from service.cli.local.up import Plan, _worker, environment
from service.cli.main import app, on_gpus


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists three GPUs."""
    driver(tmp_path, monkeypatch, *(f"GPU {n}: NVIDIA H200 (UUID: GPU-5a{n}8c1f2-9d)" for n in range(3)))


def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """A driver that lists these."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("WHENCE_DEVICE", raising=False)
    gpus._listed.cache_clear()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "3, GPU-8932f937,5"}, ["3", "GPU-8932f937", "5"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "2,-1,0"}, ["2"]),
        ({"CUDA_VISIBLE_DEVICES": "1,,0"}, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": "0,0"}, ["0"]),
        ({"WHENCE_DEVICE": "cuda"}, ["0", "1", "2"]),
        ({"WHENCE_DEVICE": "cpu"}, []),
        ({"WHENCE_DEVICE": "cuda:1"}, []),
    ],
)
def test_the_gpus_that_workers_may_use(listed: None, env: dict[str, str], expected: list[str]) -> None:
    assert list(found(env)) == expected


def test_the_parts_of_a_gpu_that_is_split_are_dealt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(
        tmp_path,
        monkeypatch,
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)",
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)",
        "  MIG 1g.5gb      Device  1: (UUID: MIG-GPU-b8ea3855/1/2)",
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)",
    )
    assert list(found({})) == ["MIG-c7384736-a75d-5afc-978f-d2f1294409fd", "MIG-GPU-b8ea3855/1/2", "1"]


def test_a_machine_without_a_driver_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    gpus._listed.cache_clear()
    assert list(found({})) == []


def test_each_worker_sees_one_of_several() -> None:
    assert [share(n, ["0", "1"]) for n in range(3)] == [{"CUDA_VISIBLE_DEVICES": n} for n in ("0", "1", "0")]
    assert share(1, ["0"]) == share(1, []) == {}


def test_the_supervisor_tells_each_worker_its_own(listed: None) -> None:
    plan = Plan(models=Path("models"), workers=4)
    children = [_worker(number, plan, {"WHENCE_WORKERS": "4"}) for number in range(4)]
    assert [child.env["CUDA_VISIBLE_DEVICES"] for child in children] == ["0", "1", "2", "0"]
    assert all(child.env["WHENCE_WORKERS"] == "4" for child in children)


def test_all_gpus_have_a_worker_each(listed: None) -> None:
    plan = on_gpus(Plan(models=Path("models"), workers=1))
    assert (plan.workers, environment(plan, "jobs", "cache")["WHENCE_DEVICE"]) == (3, "cuda")
    assert "WHENCE_DEVICE" not in environment(Plan(models=Path("models")), "jobs", "cache")


@pytest.mark.parametrize("env", [{"WHENCE_DEVICE": "cpu"}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_all_gpus_of_none_is_refused_with_what_works(
    listed: None, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["up", "--gpus", "all"])
    assert done.exit_code == 2
    assert "no GPU is to be had here" in done.stderr
    assert "leave --gpus out" in done.stderr


def test_tf32_where_there_is_no_gpu_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = CliRunner().invoke(app, ["up", "--precision", "tf32"])
    assert done.exit_code == 2
    assert "--precision tf32: no GPU is to be had here" in done.stderr
    assert "take float32 or bfloat16" in done.stderr


def test_the_api_and_the_workers_are_told_the_precision() -> None:
    plan = Plan(models=Path("models"))
    assert "WHENCE_PRECISION" not in environment(plan, "jobs", "cache")
    assert environment(replace(plan, precision="bfloat16"), "jobs", "cache")["WHENCE_PRECISION"] == "bfloat16"
