"""Archives gone wrong in every way that chance finds: `python -m tests.fuzz.archives --minutes 30`, or `make fuzz`.

Each example breaks a sound archive, in its JSON or its bytes, and loads it. It loads, or one sentence says why not;
nothing is written, started, connected to or imported anew, and nothing takes longer than its limit.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.workers.models.archives import Entries, archive_folder, entries
from workers.explanation.errors import ModelError
from workers.models.folder import read_folder
from workers.models.loading import load

LIMIT_S = 30
JSON_ENTRIES = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
RAN = "__import__('os').system('touch /tmp/whence-fuzz-ran')"
NASTY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, 0.5, 1e308, "", "NaN", "Infinity", "\0",
    [], {}, [[]], {"as_none": True}, {"as_operator": "torch.os.system"},
    {"as_custom_obj": {"name": "x", "class_fqn": "y"}}, RAN, f"s0\n+{RAN}", "Symbol('s0')", "s0/0", "Mod(s0, 0)",
    "Symbol('s0', integer=True) * 7**7**7", "Max(s0, s1)", "Pow(Integer(0), Integer(-1))", "s" * 9000, "(" * 3000,
    "u0", "u9999", "s77", "zuf3", "true", "../../x", "\ud800",
    "torch.ops.aten.from_file.default", "torch.ops.higher_order.wrap", "torch.ops.aten.empty.memory_format",
    "torch.ops.aten.relu_.default", "torch.ops.aten.as_strided.default", "torch.ops.aten.full.default", "_operator.mul",
    "torch.ops.aten.repeat.default", "torch.ops.aten.item.default", "torch.ops.aten.cat.default", "torch", "import",
    "torch.ops.higher_order.wrap_with_set_grad_enabled", "self", "data/weights/../x", "weight_0", "\u2028",
    {"as_int": 2**40},
    {"as_expr": {"expr_str": "s0", "hint": None}}, {"as_tensor": {"name": "x"}}, {"as_name": "x"}, {"as_ints": [2**40]},
)  # fmt: skip


class Quiet(nn.Module):
    """A region without gradients, sizes that are expressions, and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.recurrent, self.out = nn.Conv1d(2, 3, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 3)
        self.table = torch.arange(4.0)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = torch.relu_(self.conv(x))
        rows = y.transpose(1, 2).reshape(x.shape[0] * 2, 2, 3)
        last: Tensor = self.recurrent(rows)[0][:, -1]
        found: Tensor = self.out(last.reshape(x.shape[0], 2, 4).mean(1) + self.table)
        return found


@cache
def sound() -> Entries:
    torch.manual_seed(0)
    shapes = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a recurrent layer's weights, which torch assigns anew
        module = Quiet().eval().requires_grad_(False)
        program = torch.export.export(module, (torch.zeros(2, 2, 6),), dynamic_shapes=shapes)
    out = io.BytesIO()
    torch.export.save(program, out)
    return entries(out.getvalue())


def packed(content: Entries) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as file:
        for name, data in content.items():
            file.writestr(f"model/{name}", data)
    return out.getvalue()


@cache
def places(entry: str) -> tuple[tuple[Any, ...], ...]:
    """The path of every part of an entry's JSON."""

    def walk(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        yield path
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in pairs:
            yield from walk(item, (*path, key))

    return tuple(walk(json.loads(sound()[entry]), ()))


@cache
def alike(entry: str) -> dict[Any, list[tuple[Any, ...]]]:
    """Those paths by their last key."""
    found: dict[Any, list[tuple[Any, ...]]] = {}
    for path in places(entry)[1:]:
        found.setdefault(path[-1], []).append(path)
    return found


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def broken_json(draw: st.DrawFn) -> bytes:
    """One to four parts of an entry replaced: by something nasty, by another part, by nothing, or under another key."""
    entry = draw(st.sampled_from((JSON_ENTRIES[0], *JSON_ENTRIES)))
    tree = json.loads(sound()[entry])
    anything = st.sampled_from(NASTY) | st.integers() | st.text(max_size=20) | st.floats()
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(places(entry)[1:]))
        try:
            parent = at(tree, tuple(above))
            how = draw(st.integers(0, 9))
            if how <= 1:
                parent[last] = copy.deepcopy(draw(anything))
            elif how <= 6:  # most often by what stands elsewhere under the same key
                parent[last] = copy.deepcopy(at(tree, draw(st.sampled_from(alike(entry)[last]))))
            elif how == 7:
                parent[last] = copy.deepcopy(at(tree, draw(st.sampled_from(places(entry)))))
            elif how == 8:
                del parent[last]
            else:
                parent[draw(st.sampled_from([n for n in NASTY if isinstance(n, str)]))] = parent.pop(last)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier step took the place away
    return packed({**sound(), entry: json.dumps(tree).encode("utf-8", "surrogatepass")})


@st.composite
def broken_bytes(draw: st.DrawFn) -> bytes:
    """Bytes of the zip overwritten, most often in its directory at the end; or a part cut out."""
    data = bytearray(packed(sound()))
    for _ in range(draw(st.integers(1, 8))):
        end = draw(st.booleans())
        place = draw(st.integers(0, min(len(data), 3000 if end else len(data)) - 1))
        place = len(data) - 1 - place if end else place
        new = draw(
            st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"PK\x01\x02"])
        )
        if draw(st.integers(0, 9)):
            data[place : place + len(new)] = new
        else:
            del data[place : place + draw(st.integers(1, 200))]
    return bytes(data)


WRITES = ("os.system", "subprocess.Popen", "socket.connect", "os.remove", "os.rename", "os.mkdir", "pickle.find_class")
_watched: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    mode = arguments[1] if event == "open" else None
    if event in WRITES or (isinstance(mode, str) and set(mode) & set("wax+")):
        _watched.append(f"{event} {arguments}")


@contextmanager
def nothing_else() -> Iterator[None]:
    """Fails where anything was written, started or connected to meanwhile, and after the limit."""
    global _watched

    def late(*_: Any) -> None:
        raise AssertionError(f"it took more than {LIMIT_S} s of the processor")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    _watched = []
    try:
        yield
        assert not _watched, _watched
    finally:
        _watched = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@cache
def _hooked() -> None:
    sys.addaudithook(_audit)


def loads(data: bytes, folder: Path) -> str:
    """What became of an archive: "loaded", or the kind of refusal. Any other error is a fault of ours."""
    _hooked()
    path = folder / "toy"
    if not path.exists():
        archive_folder(path, data)
        (path / "card.toml").write_text(
            '[model]\nsource = "model.pt2"\noutput = "logits"\n[input]\nkind = "tensor"\nshape = [2, 6]\n'
        )
    (path / "model.pt2").write_bytes(data)
    with nothing_else():
        try:
            load(read_folder(path))
        except ModelError as error:
            if len(error.detail) > 1000:
                raise AssertionError(f"it is no sentence: {error.detail[:100]}") from error
            return type(error).__name__ + " " + error.detail.partition(": ")[2][:24]
        return "loaded"


def fuzz(data: st.SearchStrategy[bytes], examples: int, start: int, seen: Callable[[str], None]) -> None:
    """That many archives of a strategy, loaded."""
    with tempfile.TemporaryDirectory() as place:

        @seed(start)
        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
                  phases=[Phase.generate, Phase.shrink])  # fmt: skip
        @given(data)
        def one(content: bytes) -> None:
            seen(loads(content, Path(place)))

        one()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--start", type=int, default=0, help="The first seed.")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    became: Counter[str] = Counter()
    end, start, faults = time.monotonic() + 60 * asked.minutes, asked.start, 0
    while time.monotonic() < end:
        start += 1
        try:
            fuzz(broken_json(), 300, start, lambda what: became.update([what]))
            fuzz(broken_bytes(), 100, start, lambda what: became.update([what]))
        except Exception as error:
            faults += 1
            for one in error.exceptions if isinstance(error, ExceptionGroup) else (error,):
                place = traceback.extract_tb(one.__traceback__)[-1]
                where = f"{place.filename}:{place.lineno}"
                print(f"seed {start}: {type(one).__name__}: {str(one)[:300]} ({where})", flush=True)
        print(f"{became.total()} archives, {became['loaded']} loaded, {faults} faults", flush=True)
    for what, count in became.most_common(40):
        print(f"{count:8} {what}")
    sys.exit(min(faults, 1))


if __name__ == "__main__":
    main()
