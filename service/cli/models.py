"""`whence models`: what a running Whence serves, in what state; a folder is sent there, removed, or read anew."""

from __future__ import annotations

import tarfile
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from service.cli.asking import HERE, connect, give_up
from service.cli.console import err, fail, out
from service.http.addresses import MODELS
from whence import Client, WhenceError
from whence.connection import unreachable
from whence.problems import check

Url = Annotated[str, typer.Option("--url", envvar="WHENCE_URL", help="Where Whence runs.")]
Elsewhere = Annotated[str | None, typer.Option("--url", help="Where Whence runs.")]
Name = Annotated[str, typer.Argument(help="The model's name.")]
PATIENCE_S = 300.0
LOOK_S = 0.5
SHOWN = 12
SHOWN_LABELS = 20
COLUMNS = ("model", "state", "version", "input", "classes", "memory", "methods")

app = typer.Typer(help="List the models, or change them.", invoke_without_command=True)


@app.callback()
def models(ctx: typer.Context, url: Url = HERE) -> None:
    """List the models that a running Whence serves, each with its state; add, remove or reload one."""
    ctx.obj = url
    if ctx.invoked_subcommand is not None:
        return
    table = Table(*COLUMNS, box=None, pad_edge=False)
    with connect(url) as client:
        for model in _get(client, MODELS)["models"]:
            table.add_row(*_row(model))
    out.print(table)


@app.command()
def add(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A model's folder, as `whence export` writes it.")],
    name: Annotated[str | None, typer.Option(help="Its name there; default: the folder's.")] = None,
    url: Elsewhere = None,
) -> None:
    """Send a model's folder, in place of the model of that name. Needs a key of scope admin in WHENCE_KEY."""
    if not (folder / "card.toml").is_file():
        fail(f"{folder} is no model's folder: it has no card.toml; whence export writes one", code=2)
    wanted = name or folder.resolve().name
    with connect(url or ctx.obj) as client, tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                tar.add(path, path.relative_to(folder).as_posix())
        packed.seek(0)
        said = _sent(client, "PUT", f"{MODELS}/{wanted}", packed)
        _say(_until_ready(client, wanted, said.json()))


@app.command()
def remove(ctx: typer.Context, name: Name, url: Elsewhere = None) -> None:
    """Remove a model that was sent; what lies in a folder of the workers is removed there."""
    with connect(url or ctx.obj) as client:
        _sent(client, "DELETE", f"{MODELS}/{name}")
    err.print(f"{name} is removed", markup=False)


@app.command()
def reload(ctx: typer.Context, name: Name, url: Elsewhere = None) -> None:
    """Have a model's folder read anew."""
    with connect(url or ctx.obj) as client:
        said = _sent(client, "POST", f"{MODELS}/{name}/reload")
        _say(_until_ready(client, name, said.json()))


@app.command()
def show(ctx: typer.Context, name: Name, url: Elsewhere = None) -> None:
    """Show a model: what it takes and gives, its layers, and why methods cannot explain it."""
    with connect(url or ctx.obj) as client:
        model = _get(client, f"{MODELS}/{name}")
    rows = Table(box=None, pad_edge=False, show_header=False)
    for heading, cell in zip(COLUMNS, _row(model), strict=True):
        rows.add_row(heading, cell)
    for key, of in (("takes", model.get("inputs", {})), ("returns", model.get("returned", {}))):
        for one, told in of.items():
            rows.add_row(key, f"{one} {told['shape'] if isinstance(told, dict) else told}")
    if labels := model.get("labels", []):
        rows.add_row("labels", escape(", ".join(labels[:SHOWN_LABELS])) + (" ..." if labels[SHOWN_LABELS:] else ""))
    for layer in model.get("layers", []):
        rows.add_row("layer", escape(f"{layer['name']} {layer['shape']}"))
    for method in model.get("methods", []):
        if not method["supported"]:
            rows.add_row("not", escape(f"{method['name']}: {method.get('reason') or ''}"))
    out.print(rows)


@app.command()
def load(ctx: typer.Context, name: Name, url: Elsewhere = None) -> None:
    """Have a model loaded into memory now, and served again where it was unloaded. Needs a key of scope admin."""
    with connect(url or ctx.obj) as client:
        _say(_until_ready(client, name, _sent(client, "POST", f"{MODELS}/{name}/load").json()))


@app.command()
def unload(ctx: typer.Context, name: Name, url: Elsewhere = None) -> None:
    """Have a model served no more, until it is loaded again. Needs a key of scope admin."""
    with connect(url or ctx.obj) as client:
        said = _sent(client, "POST", f"{MODELS}/{name}/unload")
    done = said.status_code == httpx.codes.OK
    err.print(f"{name} is unloaded" if done else f"{name} is being unloaded: a worker still serves it", markup=False)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    state = model["state"] if not model["reason"] else f"{model['state']}: {escape(model['reason'])}"
    memory = f"{model['memory'] / 2**20:.1f} MiB" if model["memory"] else ""
    if "digest" not in model:
        return model["name"], state, "", "", "", memory, ""
    support = model.get("methods", [])
    supported = f"{sum(one['supported'] for one in support)} of {len(support)}"
    version = model["digest"].removeprefix("sha256:")[:SHOWN]
    inputs = model.get("inputs") or {"": model["input"]}
    shape = " + ".join(f"{one['kind']} {'x'.join(map(str, one['shape']))}" for one in inputs.values())
    classes = str(model["outputs"][0]) if model["outputs"] else ""
    return model["name"], state, version, shape, classes, memory, supported


def _until_ready(client: Client, name: str, model: dict[str, Any]) -> dict[str, Any]:
    latest = time.monotonic() + PATIENCE_S
    while model["state"] == "loading" and time.monotonic() < latest:
        time.sleep(LOOK_S)
        model = _get(client, f"{MODELS}/{name}")
    return model


def _say(model: dict[str, Any]) -> None:
    if model["state"] != "ready":
        fail(f"{model['name']} is {model['state']}" + (f": {model['reason']}" if model.get("reason") else ""))
    err.print(f"{model['name']} is ready, as {model['digest'].removeprefix('sha256:')[:SHOWN]}", markup=False)


def _get(client: Client, path: str) -> Any:
    try:
        return client.get(path)
    except WhenceError as error:
        give_up(error)


def _sent(client: Client, method: str, path: str, content: Any = None) -> httpx.Response:
    headers = {"content-type": "application/x-tar"} if content is not None else {}
    try:
        return check(client.http.request(method, path, content=content, headers=headers, timeout=PATIENCE_S))
    except httpx.TransportError as error:
        give_up(unreachable(client.http.base_url, error))
    except WhenceError as error:
        give_up(error)
