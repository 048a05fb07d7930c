"""Whence as the explainer of a KServe InferenceService: a model folder made of a card and of what KServe says."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import Literal, TypeAlias

from service.cli.local.up import CannotStart

Protocol: TypeAlias = Literal["v1", "v2"]
CARD = "card.toml"
MOUNTED = Path("/mnt/models")  # where KServe's storage initializer puts what STORAGE_URI names


def write_folder(models: Path, name: str, predictor: str, protocol: Protocol, tls: bool, given: Path) -> Path:
    """The folder of the model `name`, which the predictor computes; its card is the one in `given`, with that source.

    `given` is a folder with a card that names no source, or such a card. Raises CannotStart.
    """
    card = given / CARD if given.is_dir() else given
    try:
        text = card.read_text(encoding="utf-8")
        model = tomllib.loads(text).get("model", {})
    except FileNotFoundError:
        raise CannotStart(
            f"there is no card at {card}; it says what the predictor takes: [input], and output in [model]"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CannotStart(f"the card at {card} cannot be read: {error}") from None
    if not isinstance(model, dict) or "source" in model:
        raise CannotStart(f"the card at {card} names a source; leave it out: the predictor that KServe names is it")
    folder = models / name
    if folder.parent != models or name.startswith((".", "_")):
        raise CannotStart(f"--model_name {name!r} is no name of a model")
    folder.mkdir(parents=True)
    for file in card.parent.iterdir() if given.is_dir() else ():
        if file.is_file() and file.name != CARD:
            shutil.copyfile(file, folder / file.name)
    (folder / CARD).write_text(_sourced(text, source(name, predictor, protocol, tls)), encoding="utf-8")
    return folder


def source(name: str, predictor: str, protocol: Protocol, tls: bool) -> str:
    """What the card says of the predictor: KServe names its host, with a port or without."""
    address = f"{'https' if tls else 'http'}://{predictor.removeprefix('http://').removeprefix('https://').rstrip('/')}"
    return f"open-inference:{address}/v2/models/{name}" if protocol == "v2" else f"kserve:{address}/v1/models/{name}"


def place_of_card(given: Path | None) -> Path:
    """Where the card is: what is said, else what KServe's storage initializer brought."""
    return given or Path(os.environ.get("WHENCE_CARD", MOUNTED))


def processes(workers: int) -> int:
    """How many there are where KServe's `containerConcurrency`, which it adds as `--workers`, may be 0 or hundreds."""
    return max(1, min(workers, len(os.sched_getaffinity(0))))


def _sourced(text: str, address: str) -> str:
    """The card's text with a source in [model]."""
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.split("#")[0].strip() == "[model]"), None)
    line = f'source = "{address}"'
    return "\n".join([*lines[: at + 1], line, *lines[at + 1 :]] if at is not None else ["[model]", line, *lines]) + "\n"
