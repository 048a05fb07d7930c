"""Where in a person's code an error arose: file, line and what stands there, out of a traceback that nobody sees."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

LONGEST = 80
_LIBRARIES = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).resolve().parents[2])


def first_line(error: BaseException) -> str:
    """The first line of what an error says, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def place_of(error: BaseException) -> str:
    """` at net.py:12 (if x.sum() > 0:)`: the innermost line that is neither ours nor of an installed library."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    if not frames:
        return ""
    line = (frames[-1].line or "").strip()[:LONGEST]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" + (f" ({line})" if line else "")


def importer_of(error: ImportError) -> str:
    """The file and line that imports what is not there, as ` (imported by layers.py:3)`."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", _OURS)) and Path(frame.filename).parent.name != "importlib"
    ]
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    name = "/".join(path.parts[-2:]) if "site-packages" in path.parts else path.name
    return f" (imported by {name}:{frames[-1].lineno})"


def _is_theirs(file: str) -> bool:
    path = str(Path(file).resolve())
    return not file.startswith("<") and not path.startswith((_OURS, *_LIBRARIES))
