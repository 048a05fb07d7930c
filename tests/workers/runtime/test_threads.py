"""How many threads torch computes with, and how they wait: what a process of its own does with each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT
from workers.runtime import openmp

COUNTED = """
import threading, torch
from workers.runtime.execute.hardware import set_threads

set_threads(2)
other = threading.Thread(target=torch.set_num_threads, args=(1,))
other.start()
other.join()
print(torch.get_num_threads())
"""


def printed(code: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


def test_what_another_thread_sets_is_its_own() -> None:
    """A worker that imported a model's modules meanwhile computed with one thread for as long as it lived."""
    assert printed(COUNTED) == "2\n"


def test_threads_wait_in_short_turns_by_gnus_openmp_and_asleep_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert openmp.waits() == {"OMP_WAIT_POLICY": "passive"}
    (tmp_path / "torch" / "lib" / "libgomp.so.1").touch()
    assert openmp.waits() == {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "5000"}
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libjemalloc.so:/opt/intel/lib/libiomp5.so")
    assert openmp.waits() == {"OMP_WAIT_POLICY": "passive"}


IDLE = """
import time
from workers.runtime import openmp

openmp.settle()
import torch

torch.set_num_threads(2)
a = torch.rand(64, 64, 64)
for _ in range(50):
    a.exp()
time.sleep(0.1)
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before < 0.1)
"""


def test_nobody_turns_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under this policy some OpenMP turns for ever, and a worker would take a core for each of its threads."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert printed(IDLE) == "True\n"


RESTED = """
import os, time
from workers.runtime import openmp

openmp.settle()
import torch

torch.set_num_threads(2)
a = torch.rand(64, 64, 64)
first = a.exp()
threads = len(os.listdir("/proc/self/task"))
openmp.rest()
time.sleep(0.2)
ended = threads - len(os.listdir("/proc/self/task"))
print(ended, torch.get_num_threads(), torch.equal(a.exp(), first), len(os.listdir("/proc/self/task")) == threads)
"""


@pytest.mark.skipif(openmp.waits() != openmp.BRIEFLY, reason="torch brings no GNU OpenMP here")
def test_helpers_that_rest_are_gone_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert printed(RESTED) == "1 2 True True\n"


def test_what_the_operator_has_said_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    openmp.settle()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT")) == ("passive", None)
