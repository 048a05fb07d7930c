"""`whence explain`: files, globs and folders, a text or several inputs, by one method or several, to files or JSON."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import httpx
import typer
from rich.text import Text

from service.cli.asking import HERE, connect, give_up, in_commands
from service.cli.console import DONE, err, fail, out, progress
from service.cli.contact_sheet import MOST, contact_sheet
from service.cli.input_files import NoSuchFiles, NotOneInput, labels, named_files, one_input
from service.cli.job import explain_job
from whence import Client, Unreachable, WhenceError
from whence.explanation import ACCEPT
from whence.files import write
from whence.flows import Tell, finish, id_of, place_of, request_of
from whence.flows import explain as asking
from whence.inputs import Given
from workers.contract import catalogue

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # 130 as of a program that SIGINT ended
AHEAD = 32  # asked for before the first is waited for, so that the service can batch them

Form: TypeAlias = Literal["png", "npy", "safetensors", "json", "html", "svg", "csv"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One explanation: of an input, as it was named, by a method ("" is the model's own)."""

    given: Given
    name: str
    label: str
    method: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What all of them have in common."""

    model: str
    target: Any
    parameters: dict[str, Any]
    accept: str


@dataclass(frozen=True, slots=True)
class Made:
    """What became of it: its content, or the sentence that says why there is none."""

    wanted: Wanted
    place: str = ""
    content: bytes = b""
    refused: WhenceError | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where explanations go: `folder`, or the file `to`, or, without either, standard output."""

    folder: Path | None
    to: Path | None
    accept: str
    suffix: str
    many: bool
    as_json: bool
    said: set[str] = field(default_factory=set)

    def written(self, made: Made, tell: Tell) -> Made:
        """Write it, or say why it is not there; a sentence is said once."""
        label = f"{made.wanted.label}.{made.wanted.method}" if made.wanted.method else made.wanted.label
        to = self.folder / f"{label}{self.suffix}" if self.folder else self.to
        told: dict[str, Any] = {"file": made.wanted.name, "method": made.wanted.method or None}
        if made.refused:
            said = in_commands(str(made.refused))
            self._complain(made.wanted, said)
            told |= {"error": said}
        elif to:
            to.parent.mkdir(parents=True, exist_ok=True)
            write(to, made.content)
            err.print(f"wrote {to} ({len(made.content)} bytes)", soft_wrap=True, markup=False)
            told |= {"id": id_of(made.place), "written": str(to)}
        elif self.many or self.as_json:
            out.print(json.dumps(json.loads(made.content)), soft_wrap=True, markup=False)
        else:
            out.print_json(made.content.decode())
        if self.as_json and (to or made.refused):
            out.print(json.dumps(told), soft_wrap=True, markup=False)
        tell(DONE)
        return made

    def _complain(self, wanted: Wanted, sentence: str) -> None:
        of = f"{wanted.name} {wanted.method}".strip() + ": " if self.many else ""
        said = "as before" if sentence in self.said else sentence
        self.said.add(sentence)
        err.print(Text.assemble(("error: ", "bold red"), of, said), soft_wrap=True)


def _place(to: Path | None, form: Form, count: int, as_json: bool) -> Place:
    is_file = to is not None and to.suffix.lower() in ACCEPT and not to.is_dir()
    if is_file and count > 1:
        fail(f"{count} explanations do not fit into {to}; name a folder", code=USAGE)
    suffix = f".{form}" if to and not is_file else to.suffix.lower() if to else ".json"
    folder = None if is_file else to
    return Place(folder, to, ACCEPT[suffix], suffix, count > 1, as_json)


def _named(incomplete: str) -> list[str]:
    return [name for name in catalogue() if name.startswith(incomplete)]


Files: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[FILE]...", help="Images, .npy, .safetensors; globs; folders.")
]
Inputs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="In place of files a text; or several inputs: NAME=FILE or NAME=TEXT each."),
]
Methods: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Name of a method (see: whence methods); may be given several times.", autocompletion=_named),
]


def explain(
    model: Annotated[str, typer.Option("--model", "-m", help="Name of the model (see: whence models).")],
    files: Files = None,
    given: Inputs = None,
    method: Methods = None,
    target: Annotated[str, typer.Option(help="Class index, class name, argmax, or a target in JSON.")] = "argmax",
    params: Annotated[str, typer.Option(help="The method's parameters as JSON.")] = "",
    to: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, its kind told by its name; or a folder.")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="What a folder is filled with.")] = "png",
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each explanation, on standard output.")
    ] = False,
    job: Annotated[
        bool, typer.Option("--job", help="One job of many inputs: a folder, data.csv, stack.npy, or a dataset.")
    ] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for all of it.")] = 600,
    url: Annotated[str, typer.Option("--url", envvar="WHENCE_URL", help="Where Whence runs.")] = HERE,
) -> None:
    """Explain inputs: as JSON on standard output, as one file, or as a folder of pictures with a contact sheet.

    Shows how far it is; Ctrl-C withdraws the work. An API key is taken from WHENCE_KEY.

    Exit code 0: all is there. 1: some is not. 2: the command line is wrong. 3: nothing answers. 130: Ctrl-C.
    """
    methods = list(dict.fromkeys(method or [""]))
    _check_ways(files, given, job)
    if job and len(methods) == 1:
        failed = explain_job(files or [], model, methods[0] or None, _target(target), _parameters(params), to, url)
        raise typer.Exit(FAILED if failed else 0)
    if job:
        fail("a job is of one method; start one for each", code=USAGE)
    if params and (len(methods) > 1 or not method):
        fail("--params are those of a method; name it with --method, and give several one after the other", code=USAGE)
    wanted = _wanted(files or [], given or [], methods)
    place = _place(to, form, len(wanted), as_json)
    terms = Terms(model, _target(target), _parameters(params), place.accept)
    try:
        with connect(url, patience) as client, progress(len(wanted)) as tell:
            made = [place.written(one, tell) for one in _made(client, wanted, terms, tell)]
    except Unreachable as error:
        give_up(error)
    except KeyboardInterrupt:
        fail("interrupted; what had not finished was withdrawn", code=INTERRUPTED)
    if place.folder and place.many and form == "png":
        _sheet(made, len(methods), place.folder / "contact_sheet.png")
    if any(one.refused for one in made):
        raise typer.Exit(FAILED)


def _check_ways(files: Sequence[str] | None, given: Sequence[str] | None, job: bool) -> None:
    if bool(files) == bool(given):
        fail("name FILEs, or give a text or several inputs by --input", code=USAGE)
    if job and given:
        fail("a job is of one folder, table, stack or dataset, which is named without --input", code=USAGE)


def _wanted(names: Sequence[str], inputs: Sequence[str], methods: Sequence[str]) -> list[Wanted]:
    try:
        if inputs:
            one = one_input(inputs)
            label = one.stem if isinstance(one, Path) else "input"
            return [Wanted(one, ", ".join(inputs), label, method) for method in methods]
        files = named_files(names)
    except (NoSuchFiles, NotOneInput) as error:
        fail(str(error), code=USAGE)
    named = zip(files, labels(files), strict=True)
    return [Wanted(file, str(file), label, method) for (file, label), method in product(named, methods)]


def _target(text: str) -> Any:
    """A class, or what JSON says: {"output": "boxes", "index": [4, 2]}."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        fail("""a --target in JSON is in quotes: --target '{"index": [4, 2]}'""", code=USAGE)


def _parameters(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        fail("""--params is a JSON object, in quotes: --params '{"steps": 50}'""", code=USAGE)
    return found


def _made(client: Client, wanted: Sequence[Wanted], terms: Terms, tell: Tell) -> Iterator[Made]:
    """Each explanation in turn; interrupted, all that are on their way are withdrawn. Raises Unreachable."""
    latest, left = time.monotonic() + client.patience, iter(wanted)
    waiting: deque[tuple[Wanted, httpx.Response | WhenceError]] = deque()
    try:
        while True:
            while len(waiting) < AHEAD and (one := next(left, None)):
                waiting.append((one, _asked(client, one, terms)))
            if not waiting:
                return
            one, answer = waiting[0]
            yield _finished(client, one, answer, terms.accept, latest, tell)
            waiting.popleft()
    except KeyboardInterrupt:
        for _, answer in waiting:
            if isinstance(answer, httpx.Response):
                client.withdraw(answer)
        raise


def _asked(client: Client, one: Wanted, terms: Terms) -> httpx.Response | WhenceError:
    try:
        asked = request_of(terms.model, one.method or None, terms.target, terms.parameters)
        return client.submit(asking(asked, one.given, {"Accept": terms.accept}))
    except Unreachable:
        raise
    except WhenceError as refused:
        return refused


def _finished(
    client: Client, one: Wanted, answer: httpx.Response | WhenceError, accept: str, latest: float, tell: Tell
) -> Made:
    if isinstance(answer, WhenceError):
        return Made(one, refused=answer)
    place = place_of(answer)
    try:
        return Made(one, place, client.run(finish(answer, accept, latest, tell)).content)
    except WhenceError as refused:
        return Made(one, place, refused=refused)


def _sheet(made: Sequence[Made], columns: int, to: Path) -> None:
    shown = made[: MOST // columns * columns]
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    if not any(one.content for one in shown):
        return
    write(to, contact_sheet([(row[0].wanted.label, [one.content or None for one in row]) for row in rows]))
    left_out = f"; it shows the first {len(shown)} of {len(made)}" if len(shown) < len(made) else ""
    err.print(f"wrote {to}{left_out}", soft_wrap=True, markup=False)
