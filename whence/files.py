"""Files that are written whole, or not left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """Opened to be written, and removed where it does not come to its end, as on a full disk; an error names it."""
    file = Path(path).open("wb")  # noqa: SIM115  # closed below: a full disk fails again where its rest is written
    try:
        yield file
        file.close()
    except BaseException as error:
        with suppress(OSError):
            file.close()
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        if Path(path).is_file():  # no device, as /dev/stdout is
            with suppress(OSError):
                Path(path).unlink()
        raise


def write(path: str | Path, content: bytes) -> None:
    """As `new_file`, of bytes that are there."""
    with new_file(path) as file:
        file.write(content)
