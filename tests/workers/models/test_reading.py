"""A folder is read in a process of its own: what hangs, dies or wants too much costs its own line, nobody's time."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.repositories import Shelf
from tests.workers.models.folders import write_folder
from workers.engine.model.function import Function
from workers.explanation.card import InputSpec, ModelCard
from workers.explanation.errors import ModelError
from workers.models import process_limits, reading
from workers.models.folder import read_folder
from workers.models.kept_cards import PLACE, Whole, name_of
from workers.models.reading import Outcome, Reader, signature

CARD = '[model]\nsource = "model.pt2"\n[input]\nkind = "tensor"\nshape = [3]\n'
HANGS = {
    "hangs": ("while True: pass", "longer than 8 s|more than 8 s of the processor"),
    "sleeps": ("import time\ntime.sleep(1000)", "longer than 8 s"),
}
BAD = {
    "dies": ("import os\nos.kill(os.getpid(), 11)", r"the process that read it died \(SIGSEGV\)"),
    "killed": ("import os\nos.kill(os.getpid(), 9)", "killed, as the system does where memory is short"),
    "leaves": ("import os\nos._exit(0)", "the process that read it died"),
    "exits": ("import sys\nsys.exit(3)", "ends the process|SystemExit"),
    "eats": ("x = bytearray(10**12)", "MemoryError|wants more memory"),
}


@pytest.mark.parametrize("known", [True, False])
def test_the_server_starts_at_once_only_where_a_folder_is_new(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts again reads none, and its start should not pay for it."""
    started: list[bool] = []
    monkeypatch.setattr("multiprocessing.forkserver.ensure_running", lambda: started.append(True))
    monkeypatch.setattr(reading._server, "set_forkserver_preload", lambda _: None)
    path = write_folder(tmp_path / "m")
    card = ModelCard(name="m", digest=read_folder(path).digest, input=InputSpec(shape=(3,)), outputs=(1,))
    shelf, folder = Shelf(tmp_path), read_folder(path)
    if known:
        shelf.keep(folder, card)
        shelf.remember(Whole(folder, card, name_of(folder), signature(path)))
    assert reading.warm_up(tmp_path) is not known
    assert started == ([] if known else [True])
    (path / "labels.txt").write_text("f\nb\nc\nd\ne\n")
    assert reading.warm_up(tmp_path)
    assert not reading.warm_up(tmp_path / "nowhere")


def small(path: Path) -> Path:
    """A folder with an archive that loads at once."""
    path.mkdir()
    program = torch.export.export(nn.Linear(3, 2).eval().requires_grad_(False), (torch.zeros(1, 3),))
    out = io.BytesIO()
    torch.export.save(program, out)
    (path / "model.pt2").write_bytes(out.getvalue())
    (path / "card.toml").write_text(CARD)
    return path


def coded(path: Path, code: str) -> Path:
    write_folder(path)
    (path / "net.py").write_text(code)
    return path


def plain(model: Function) -> ModelCard:
    return model.card


def reader(models: Path, limit: int = 120) -> Reader:
    return Reader(limit, plain, Shelf(models))


def outcomes(reads: Reader, paths: Iterable[Path]) -> Iterator[tuple[str, Outcome]]:
    """What becomes of folders, as each is known."""
    waiting = list(paths)
    while waiting or reads.busy:
        while waiting and reads.room:
            path = waiting.pop(0)
            reads.start(path, signature(path))
        yield from ((path.name, outcome) for path, _, outcome in reads.poll(0.1))


def by_name(reads: Reader, models: Path) -> dict[str, Outcome]:
    return dict(outcomes(reads, sorted(path for path in models.iterdir() if path.name != PLACE)))


def test_a_sound_folder_comes_back_whole_and_its_card_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, first = small(tmp_path / "small"), reader(tmp_path)
    ((_, found),) = outcomes(first, [path])
    assert isinstance(found, Whole)
    assert (found.folder, found.card.outputs) == (read_folder(path), (2,))
    monkeypatch.setattr(first, "describe", None)  # what would call it fails
    ((_, again),) = outcomes(first, [path])
    assert again == found
    (path / "card.toml").write_text(CARD.replace("[3]", "[4]"))
    ((_, changed),) = outcomes(reader(tmp_path), [path])
    assert isinstance(changed, ModelError)
    assert "exported for [3]" in changed.detail


@pytest.mark.parametrize("names", [sorted(BAD)])
def test_a_folder_that_ends_its_process_is_told_and_the_others_are_served(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        coded(tmp_path / name, BAD[name][0])
    small(tmp_path / "small")
    found = by_name(reader(tmp_path), tmp_path)
    assert isinstance(found["small"], Whole)
    for name in names:
        with pytest.raises(ModelError, match=f"^{name}: .*({BAD[name][1]})"):
            raise_it(found[name])


def test_a_folder_that_hangs_is_ended_and_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE_S", 0.5)
    for name, (code, _) in HANGS.items():
        coded(tmp_path / name, code)
    small(tmp_path / "z_small")
    hasty, order = reader(tmp_path), []
    for name, outcome in outcomes(hasty, sorted(path for path in tmp_path.iterdir())):
        order.append(name)
        assert isinstance(outcome, Whole)
        break
    assert order == ["z_small"]
    hasty.end()
    found = by_name(reader(tmp_path, limit=8), tmp_path)
    for name, (_, told) in HANGS.items():
        with pytest.raises(ModelError, match=told):
            raise_it(found[name])


def raise_it(outcome: Outcome) -> None:
    assert isinstance(outcome, ModelError)
    raise outcome


def _held(connection: object, path: Path) -> None:
    """In a process of its own: what a reader of an archive may not do."""
    reading._quiet()
    process_limits.hold(60, 2**30)
    process_limits.shut()
    attempts: dict[str, Callable[[], object]] = {
        "write": lambda: path.write_text("x" * 100),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        "start": lambda: os.execv("/bin/true", ["true"]),
        "memory": lambda: bytearray(2**33),
    }
    refused = []
    for what, attempt in attempts.items():
        try:
            attempt()
        except (OSError, MemoryError) as error:
            refused.append(f"{what} {type(error).__name__}")
    connection.send(refused)  # type: ignore[attr-defined]


def test_a_reader_of_archives_writes_nothing_connects_to_nothing_and_starts_nothing(tmp_path: Path) -> None:
    ours, theirs = reading._server.Pipe(duplex=False)
    process = reading._server.Process(target=_held, args=(theirs, tmp_path / "written"))
    process.start()
    try:
        assert ours.poll(120)
        assert ours.recv() == [
            "write OSError",
            "connect PermissionError",
            "start PermissionError",
            "memory MemoryError",
        ]
    finally:
        process.join()
    assert not (tmp_path / "written").exists() or not (tmp_path / "written").read_bytes()
