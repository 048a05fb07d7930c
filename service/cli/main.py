"""`whence`, the command line. Torch-free: what computes is handed to the workers' own programs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Column, Table

from service.cli import keys, models
from service.cli.console import Commands, fail, out
from service.cli.explain import explain
from service.cli.local.explainer import place_of_card, processes, write_folder
from service.cli.local.gpus import DEVICE, VISIBLE, found
from service.cli.local.launch import greet, launch
from service.cli.local.redis_binary import free_port
from service.cli.local.up import CannotStart, Plan
from service.cli.status import status
from service.cli.verify import verify
from workers.contract import Precision, UnknownMethod, catalogue, method_type

NO_GPU = f"no GPU is to be had here (nvidia-smi lists none, or {VISIBLE} or {DEVICE} says so)"

app = typer.Typer(
    cls=Commands,
    help="Whence this prediction? It explains what PyTorch models predict, over HTTP.",
    epilog="Begin with: whence up; then, in another terminal: whence explain FILE --model digits -o heat.png",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.command()(explain)
app.command()(verify)
app.command()(status)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"whence {version('whence')}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options of `whence` itself."""


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    models: Annotated[Path, typer.Option(envvar="WHENCE_MODELS", help="Folder of model folders.")] = Path("models"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; they share the cores.")] = 1,
    api_workers: Annotated[
        int, typer.Option(envvar="WHENCE_API_WORKERS", min=1, max=64, help="API processes; they share the port.")
    ] = 1,
    gpus: Annotated[
        Literal["all"] | None, typer.Option(help="all: a worker on each GPU of this machine, instead of --workers.")
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            envvar="WHENCE_PRECISION", help="What models are computed in; tf32 needs a GPU. Default: float32."
        ),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(envvar="WHENCE_REDIS_URL", help="A running Redis. Without it one is started, its data temporary."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print all that the processes say.")] = False,
) -> None:
    """Start Redis, the workers and the API, and keep them running until Ctrl-C."""
    if precision == "tf32" and not found(os.environ):
        fail(f"--precision tf32: {NO_GPU}; take float32 or bfloat16", code=2)
    plan = Plan(
        models, host, port or free_port(), workers, redis_url, verbose, api_workers=api_workers, precision=precision
    )
    launch(plan if gpus is None else on_gpus(plan), greet)


def on_gpus(plan: Plan) -> Plan:
    """The plan with a worker on each GPU; ends the command where there is none."""
    number = len(found(os.environ))
    if not number:
        fail(f"--gpus all: {NO_GPU}; leave --gpus out to compute on the CPU", code=2)
    return replace(plan, workers=number, device="cuda")


@app.command()
def explainer(
    model_name: Annotated[str, typer.Option("--model_name", help="The model, as the predictor calls it.")],
    predictor_host: Annotated[str, typer.Option("--predictor_host", help="Host of the predictor, or host:port.")],
    http_port: Annotated[int, typer.Option("--http_port", min=1, max=65535, help="Port to listen on.")] = 8080,
    predictor_protocol: Annotated[
        Literal["v1", "v2"], typer.Option("--predictor_protocol", help="What it is asked by: v2 is Open Inference.")
    ] = "v2",
    predictor_use_ssl: Annotated[
        Literal["true", "false"], typer.Option("--predictor_use_ssl", case_sensitive=False, help="Ask it by https.")
    ] = "false",
    card: Annotated[
        Path | None,
        typer.Option(help="A card without a source, or its folder; default: WHENCE_CARD or /mnt/models."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes, at most one for each core; 0 is one.")] = 1,
    redis_url: Annotated[str | None, typer.Option(envvar="WHENCE_REDIS_URL", help="As of `whence up`.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print all that the processes say.")] = False,
) -> None:
    """Be the explainer of a KServe InferenceService, called as KServe calls its container."""
    with tempfile.TemporaryDirectory(prefix="whence-card-") as folder:
        try:
            tls = predictor_use_ssl == "true"
            write_folder(Path(folder), model_name, predictor_host, predictor_protocol, tls, place_of_card(card))
        except CannotStart as error:
            fail(str(error), code=2)
        # It may be up before the predictor is, and waits for it.
        plan = Plan(Path(folder), host, http_port, processes(workers), redis_url, verbose, patience=3600.0)
        launch(plan, greet)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def export(ctx: typer.Context) -> None:
    """Write a model folder from a model's code: whence export SOURCE --out models/NAME (needs torch)."""
    if importlib.util.find_spec("torch") is None:
        fail(
            "exporting a model needs torch, which is not installed here; install it with: pip install 'whence[worker]'"
        )
    raise typer.Exit(subprocess.run([sys.executable, "-m", "workers.export", *ctx.args], check=False).returncode)


@app.command()
def methods(name: Annotated[str, typer.Argument(help="A method: show its parameters.")] = "") -> None:
    """List the explanation methods, or the parameters of one."""
    if not name:
        table = Table(Column("method", no_wrap=True), "family", "answers", "costs", box=None, pad_edge=False)
        for key, method in catalogue().items():
            table.add_row(key, method.family, method.question, method.cost)
        out.print(table)
        return
    try:
        schema = method_type(name).model_json_schema()
    except UnknownMethod as error:
        fail(error.detail, code=2)
    table = Table("parameter", "default", "meaning", box=None, pad_edge=False)
    for key, field in schema["properties"].items():
        if key != "name":
            table.add_row(key, str(field.get("default", "required")), field.get("description", ""))
    out.print(method_type(name).question, table, sep="\n")


if __name__ == "__main__":
    app()
