"""`whence keys`: make, list and revoke API keys, and tell the secret that a key's webhooks are signed with."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from service.cli.console import err, fail, out
from service.explanations.webhook_delivery import secret_of
from service.http import api_keys
from workers.contract import new_key

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
File = Annotated[Path, typer.Option("--file", "-f", envvar="WHENCE_KEYS", help="The file of keys.")]
DEFAULT = Path("keys.json")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    admin: Annotated[bool, typer.Option(help="It may also change data sets and list everyone's work.")] = False,
    file: File = DEFAULT,
) -> None:
    """Make a key and print it; it is never seen again, for only its hash is kept."""
    if not 0 < len(name) <= 100:
        fail("a name has 1 to 100 characters", code=2)
    scopes: frozenset[api_keys.Scope] = frozenset({"explain", "admin"} if admin else {"explain"})
    try:
        key, token = api_keys.add(file, name, scopes)
    except api_keys.KeyFileError as error:
        fail(str(error))
    err.print(f"key {key.id} for {name} is in {file}; keep what follows, it is not shown again:", markup=False)
    out.print(token, soft_wrap=True)


@app.command("list")
def list_(file: File = DEFAULT) -> None:
    """List the keys; the keys themselves are not there to be listed."""
    table = Table("id", "name", "scopes", "made", box=None, pad_edge=False)
    for key in _read(file):
        made = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
        table.add_row(key.id, key.name, ", ".join(sorted(key.scopes)), made)
    out.print(table, markup=False)


@app.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As whence keys list shows it.")], file: File = DEFAULT
) -> None:
    """Take a key away; running services notice within about a second."""
    try:
        key = api_keys.revoke(file, identity)
    except api_keys.KeyFileError as error:
        fail(str(error))
    if key is None:
        fail(f"{file} has no key of this id; whence keys list shows those it has")
    err.print(f"key {key.id} of {key.name} is revoked", markup=False)


@app.command("webhook-secret")
def webhook_secret(
    identity: Annotated[
        str, typer.Argument(metavar="[ID]", help="Of a key; none where the service knows no keys.")
    ] = "",
    master: Annotated[
        str, typer.Option(envvar="WHENCE_WEBHOOK_SECRET", help="Give it in the environment.", hidden=True)
    ] = "",
    file: File = DEFAULT,
) -> None:
    """Print what the receiver of a key's webhooks checks their signatures with."""
    if not master:
        fail("WHENCE_WEBHOOK_SECRET is not set in this environment", code=2)
    if identity and all(key.id != identity for key in _read(file)):
        fail(f"{file} has no key of this id; whence keys list shows those it has")
    out.print(secret_of(master, identity), soft_wrap=True)


@app.command()
def signing(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; the public one goes to FILE.pub.")],
) -> None:
    """Make the Ed25519 key that workers sign receipts with, where WHENCE_RECEIPT_KEY names its file."""
    private, public = new_key()
    published = file.with_name(file.name + ".pub")
    try:
        with published.open("xb") as beside, open(file, "xb", opener=lambda p, flags: os.open(p, flags, 0o600)) as kept:
            kept.write(private)
            beside.write(public)
    except OSError as error:
        fail(f"{error.filename} cannot be written: {error.strerror}")
    err.print(f"{file} is for the workers alone; {published} is for who verifies receipts", markup=False)


def _read(file: Path) -> tuple[api_keys.Key, ...]:
    try:
        return api_keys.read(file)
    except api_keys.KeyFileError as error:
        fail(str(error))
