"""`whence explain --job`: a folder, a table or a stack as one job, to an archive or a folder."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from service.cli.asking import connect, give_up
from service.cli.console import err, fail, out
from whence import Collection, WhenceError
from whence.collection import FORMS
from whence.files import new_file, write

USAGE, INTERRUPTED = 2, 130


def explain_job(
    names: Sequence[str],
    model: str,
    method: str | None,
    target: Any,
    parameters: dict[str, Any],
    to: Path | None,
    url: str,
) -> int:
    """Explain all of it in one job; how many items could not be explained."""
    if len(names) != 1:
        fail("a job takes one folder of images, one .csv, .npy, .npz, .zip or .tar, or one dataset", code=USAGE)
    if to is not None and to.suffix and to.suffix.lower() not in FORMS and not to.is_dir():
        fail(f"a job is written to a folder, or a file of one of {', '.join(FORMS)}", code=USAGE)
    try:
        with connect(url) as client:
            made = client.explain_dataset(model, names[0], method, target, **parameters)
            _written(made, to)
    except WhenceError as error:
        give_up(error)
    except FileNotFoundError as error:
        fail(f"there is no file {error.filename}" if error.filename else str(error), code=USAGE)
    except (ValueError, TypeError) as error:
        fail(str(error), code=USAGE)
    except KeyboardInterrupt:
        fail("interrupted; the job was withdrawn, and what it had explained is kept", code=INTERRUPTED)
    return len(made) - int(made.info["explained"])


def _written(made: Collection, to: Path | None) -> None:
    if to is None:
        out.print_json(data={"id": made.id, **made.info, "links": made.document["links"]})
        return
    if to.suffix.lower() in FORMS and to.suffix.lower() != ".zip":
        made.save(to)
    else:
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder) / "all.zip")
            with zipfile.ZipFile(Path(folder) / "all.zip") as file:
                _unpacked(file, made, to)
    err.print(f"wrote {to} ({made.info['explained']} of {len(made)} items)", soft_wrap=True, markup=False)
    for one in made.info["failed"][:5]:
        name = made.names[one["index"] - made.method["start"]] if made.names else f"item {one['index']}"
        err.print(f"{name}: {one['detail']} ({one['code']})", soft_wrap=True, markup=False)


def _unpacked(file: zipfile.ZipFile, made: Collection, to: Path) -> None:
    """The archive with the names of the files that the items came from, as an archive or as a folder."""
    if to.suffix.lower() == ".zip":
        with new_file(to) as out_file, zipfile.ZipFile(out_file, "w") as whole:
            for name, info in _renamed(file, made):
                data = _table(file, made) if name == "index.csv" else file.read(info)
                whole.writestr(name, data, compress_type=info.compress_type, compresslevel=1)
        return
    for name, info in _renamed(file, made):
        path = to / name
        if not path.resolve().is_relative_to(to.resolve()):
            raise ValueError(f"the archive holds {name!r}, which does not lie in {to}")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, _table(file, made) if name == "index.csv" else file.read(info))


def _renamed(file: zipfile.ZipFile, made: Collection) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    for info in file.infolist():
        folder, _, name = info.filename.partition("/")
        if made.names and name.endswith(".npy"):
            yield f"{folder}/{made.names[int(name[:-4]) - made.method['start']]}.npy", info
        else:
            yield info.filename, info


def _table(file: zipfile.ZipFile, made: Collection) -> bytes:
    text = file.read("index.csv").decode()
    if not made.names:
        return text.encode()
    head, *lines = csv.reader(io.StringIO(text))
    found = io.StringIO()
    csv.writer(found, lineterminator="\n").writerows(
        [[*head, "file"], *([*line, name] for line, name in zip(lines, made.names, strict=True))]
    )
    return found.getvalue().encode()
