"""`whence verify`: compute an explanation again, never from the cache, and compare it with its receipt."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.asking import HERE, connect, ended, found, in_commands
from service.cli.console import fail, out
from service.cli.input_files import NoSuchFiles, NotOneInput, contents, one_input
from service.cli.receipt_check import SIGNATURE, Verdict, compare, is_of, request_of, tampered
from whence import Client, Refused, WhenceError
from whence.flows import EXPLANATIONS, again, explain, id_of, place_of
from whence.inputs import Given
from workers.contract import FULL, TOLERANCES, KeyFileRefused, Precision, is_signed_by, key_name, public_key

DIFFERS, UNCHECKED = 1, 3


def verify(
    receipt: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="As GET .../receipt gave it.")],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", help="What was explained: a file or a text; of several NAME=FILE or NAME=TEXT each."
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How far apart an array may be on another machine, over its norm: by default 0.001, more of tf32 and "
            "bfloat16.",
        ),
    ] = None,
    signer: Annotated[
        Path | None,
        typer.Option("--signer", exists=True, dir_okay=False, help="The issuer's public key: it must have signed."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Nothing less than the same bits will do.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for the result.")] = 600,
    url: Annotated[str, typer.Option("--url", envvar="WHENCE_URL", help="Where Whence runs.")] = HERE,
) -> None:
    """Compute an explanation again and compare it with its receipt.

    Exit code 0: it agrees. 1: it does not, or the receipt was changed. 3: it could not be computed again here.
    """
    original = _read(receipt)
    if (wrong := tampered(original)) is not None:
        fail(f"the receipt is not as it was issued: {wrong}", DIFFERS)
    _check_signature(original, signer)
    data = _input(given or [], original["job"]["input"]) if original["job"]["input"] is not None else None
    try:
        with connect(url, patience) as client:
            before = _same_as_issued(client, original)
            card = _model(client, original["job"]["model"])
            request = request_of(original["job"], card["name"])
            fresh = _repeated(client, request, data, original, card["precision"])
            if fresh["computed_at"] == before:
                raise Refused("the work failed this time; what is stored is from before")
    except WhenceError as error:
        fail(f"it could not be computed again here: {in_commands(str(error))}", UNCHECKED)
    allowed = TOLERANCES[_precision(original)] if tolerance is None else tolerance
    _conclude(compare(original, fresh), None if exact else allowed, original, fresh)


def _input(given: list[str], digest: str) -> Given:
    """The input of that digest; ends with what is wrong."""
    if not given:
        fail("this receipt needs its --input", DIFFERS)
    try:
        one = one_input(given)
    except (NoSuchFiles, NotOneInput) as error:
        fail(str(error), code=2)
    files = {name: contents(value) for name, value in one.items()} if isinstance(one, dict) else contents(one)
    if not is_of(digest, files):
        fail(f"{', '.join(given)} is not the input of this receipt", DIFFERS)
    return one


def _repeated(
    client: Client, request: dict[str, Any], data: Given, original: dict[str, Any], precision: str
) -> dict[str, Any]:
    """The receipt of an explanation that is computed again, whatever is stored; raises WhenceError.

    `precision` is what the service computes in.
    """
    key = original["id"]
    latest, place = time.monotonic() + client.patience, f"{EXPLANATIONS}/{key}"
    made = id_of(place_of(client.submit(again(explain(request, data)))))
    if made != key:
        then = _precision(original)
        why = "a method has been revised since, or labels have changed by which the classes of a dataset are found"
        if then != precision:
            why = f"it computes in {precision}, and the receipt is of {then}"
        raise Refused(f"this Whence makes the explanation {made} of it: {why}")
    while not ended(client, place, latest):
        if time.monotonic() > latest:
            raise Refused(f"not finished after {client.patience:g} s; it goes on under the id {key}")
        time.sleep(1)
    receipt: dict[str, Any] = client.get(f"{place}/receipt")
    return receipt


def _conclude(verdict: Verdict, tolerance: float | None, original: dict[str, Any], fresh: dict[str, Any]) -> None:
    for name in verdict.differing:
        out.print(
            f"{name}: {json.dumps(original[name])} then, {json.dumps(fresh[name])} now", soft_wrap=True, markup=False
        )
    if verdict.same_bits:
        out.print(f"verified: all {len(original['sha256'])} arrays are the same to the last bit", soft_wrap=True)
        return
    allowed = "nothing" if tolerance is None else f"{tolerance:g}"
    for name, apart in verdict.apart.items():
        out.print(f"{name}: about {apart:.2g} of its norm apart; {allowed} is allowed", soft_wrap=True, markup=False)
    if not verdict.holds(tolerance):
        fail("what was computed again is not what the receipt says", DIFFERS)
    out.print("verified within the tolerance, not to the last bit", soft_wrap=True)


def _check_signature(original: dict[str, Any], signer: Path | None) -> None:
    """Ends with what is wrong where `signer` did not sign it; without one, says who claims to have."""
    claimed = original.get(SIGNATURE)
    if signer is None:
        if isinstance(claimed, dict):
            out.print(
                f"signed with the key {claimed.get('key')}; give its public key by --signer to check that",
                soft_wrap=True,
                markup=False,
            )
        return
    try:
        key = public_key(signer)
    except KeyFileRefused as error:
        fail(str(error), code=2)
    if claimed is None:
        fail("the receipt is not signed", DIFFERS)
    if not is_signed_by(original, key):
        fail(f"the receipt is not signed with the key in {signer}, {key_name(key)}", DIFFERS)
    out.print(f"signed with the key in {signer}", soft_wrap=True, markup=False)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        fail(f"{path} is no JSON", DIFFERS)


def _precision(receipt: dict[str, Any]) -> Precision:
    found: Precision = receipt["job"].get("precision", FULL)
    return found


def _model(client: Client, digest: str) -> dict[str, Any]:
    """The card of the model of this digest here; raises Refused."""
    for card in client.models():
        if card.get("digest") == digest:
            return card
    raise Refused(f"no model of the digest {digest} is served")


def _same_as_issued(client: Client, original: dict[str, Any]) -> float | None:
    """Where the service still has the receipt of the same computation, not a letter of it may differ.

    Returns when what is stored was computed, None where nothing is.
    """
    issued = found(client, f"{EXPLANATIONS}/{original['id']}/receipt")
    if issued is None:
        return None
    if issued["computed_at"] == original["computed_at"] and issued != original:
        changed = ", ".join(sorted(name for name in {*original, *issued} if issued.get(name) != original.get(name)))
        fail(f"the receipt is not as it was issued: {changed} is not what the service has stored", DIFFERS)
    when: float = issued["computed_at"]
    return when
