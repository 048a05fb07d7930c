"""Real servers in processes of their own, from an environment of their own, and the same models in process."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import torch
from torch import Tensor

from service.cli.local.redis_binary import free_port
from tests.patience import PATIENCE_S
from tests.tree import ROOT
from workers.engine.model.function import Function
from workers.explanation.card import ModelCard

HOME = Path(os.environ.get("WHENCE_SERVERS", ROOT / "out" / "servers"))
SCRIPTS = Path(__file__).parent / "scripts"
KSERVE = HOME.parent / "kserve"
ABSENT = None if (HOME / "bin" / "mlserver").exists() else "there is no MLServer; `make servers` installs it"


def environment() -> dict[str, str]:
    """Of a process of the servers' Python."""
    torch_at = str(Path(torch.__file__).parents[1])
    told = {"OMP_NUM_THREADS": "1", "PYTHONPATH": "", "TORCH_AT": torch_at, "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, "PATH": f"{HOME / 'bin'}:{os.environ['PATH']}", **told}


def script(name: str, *args: object, within: Path) -> str:
    """What a script printed, run by the servers' Python."""
    command = [str(HOME / "bin" / "python"), str(SCRIPTS / f"{name}.py"), *map(str, args)]
    done = subprocess.run(command, cwd=within, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@contextmanager
def process(command: Sequence[str], within: Path, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `ready`; ended with all that it started."""
    with (within / f"{Path(command[0]).name}.log").open("wb") as log:
        running = subprocess.Popen(
            command, cwd=within, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        try:
            until = time.monotonic() + 2 * PATIENCE_S
            while not _answers(ready):
                assert running.poll() is None, Path(log.name).read_text()[-2000:]
                assert time.monotonic() < until, Path(log.name).read_text()[-2000:]
                time.sleep(0.2)
            yield running
        finally:
            os.killpg(running.pid, 9)
            running.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def mlserver(models: Path, port: int = 0) -> Iterator[str]:
    """MLServer over a folder of models; its address."""
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    ports["http_port"] = port or ports["http_port"]
    told = {**ports, "host": "127.0.0.1", "parallel_workers": 0}
    (models / "settings.json").write_text(json.dumps(told))
    url = f"http://127.0.0.1:{ports['http_port']}"
    with process([str(HOME / "bin" / "mlserver"), "start", str(models)], models, f"{url}/v2/health/ready"):
        yield url


@contextmanager
def mlflow(model: Path) -> Iterator[str]:
    """`mlflow models serve`; its address."""
    port = free_port()
    command = [str(HOME / "bin" / "mlflow"), "models", "serve", "-m", str(model), "--env-manager", "local"]
    url = f"http://127.0.0.1:{port}"
    with process([*command, "-p", str(port), "-h", "127.0.0.1"], model.parent, f"{url}/ping"):
        yield url


@contextmanager
def kserve(script: Path, folder: Path) -> Iterator[str]:
    """KServe's own Python server by a script of ours; its address."""
    port = free_port()
    command = [str(KSERVE / "bin" / "python"), str(script), str(folder), str(port)]
    url = f"http://127.0.0.1:{port}"
    with process(command, folder, f"{url}/v2/models/digits/ready"):
        yield url


class InProcess(Function):
    """A model by calls of its own library, in a process that has it; `names` are columns, with their texts if any."""

    def __init__(self, card: ModelCard, file: Path, method: str, names: Sequence[str] = ()) -> None:
        super().__init__(card, torch.device("cpu"), torch.float32, 512)
        command = [str(HOME / "bin" / "python"), str(SCRIPTS / "in_process.py"), str(file), method, *names]
        self._process = subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def run(self, x: Tensor) -> Tensor:
        file = io.BytesIO()
        np.save(file, x.numpy())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(struct.pack("<q", len(file.getvalue())) + file.getvalue())
        self._process.stdin.flush()
        size = struct.unpack("<q", self._process.stdout.read(8))[0]
        found = np.load(io.BytesIO(self._process.stdout.read(size)))
        return torch.from_numpy(found.astype(np.float32)).view(len(x), *self.card.outputs)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
