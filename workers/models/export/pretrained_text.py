"""What a folder of save_pretrained says of texts: its tokenizer, its padding, how long they may be."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from workers.explanation.errors import InvalidFolder
from workers.models.tokenizer import PADDING

TOKENIZER = "tokenizer.json"
LONGEST = 512  # tokens, where neither the model nor the command says less
FILES = ("vocab.txt", "vocab.json", "tokenizer_config.json", "spiece.model")
_ONE = "The cats sat on a mat."
_OTHER = "Was it NOT good? \u201cna\u00efve\u201d, said Ms. O'Neil (42): a longer text, of some words more."
SAMPLES = ((_ONE, _OTHER), (_ONE,), (_OTHER,))  # two texts as one, and each by itself

log = logging.getLogger(__name__)


def by_library(kind: str, folder: Path) -> Any:
    """What a class of the library, as AutoTokenizer, makes of a folder; None where it makes nothing."""
    transformers = importlib.import_module("transformers")
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except Exception:  # of many kinds, one for each class
        log.debug("%s makes nothing of %s", kind, folder, exc_info=True)
        return None


def library_tokenizer(folder: Path) -> Any:
    """The tokenizer that the library makes of the folder; None where it makes none, or would have to guess which."""
    there = [(folder / name).is_file() for name in (TOKENIZER, "tokenizer_config.json")]
    return None if there == [True, False] else by_library("AutoTokenizer", folder)


def tokenizer_of(folder: Path, library: Any) -> bytes | None:
    """tokenizer.json, or what the library's tokenizer is where that differs or was read of older files.

    The library's classes add to some files what is not in them, such as a first token. None without any tokenizer.
    """
    file = folder / TOKENIZER
    if not file.is_file() and not any((folder / name).is_file() for name in FILES):
        return None
    if library is not None and hasattr(library, "backend_tokenizer"):
        own = file.read_bytes() if file.is_file() else None
        return own if own and _alike(own, library) else str(library.backend_tokenizer.to_str()).encode()
    if file.is_file():
        return file.read_bytes()
    raise InvalidFolder(
        f"{folder}: its tokenizer has no {TOKENIZER}, the one form that is read; write it with "
        f"AutoTokenizer.from_pretrained(NAME).save_pretrained({str(folder)!r})"
    )


def _alike(data: bytes, library: Any) -> bool:
    """Whether a tokenizer.json makes the ids of texts, and of two as one, that the library makes."""
    tokenizers = importlib.import_module("tokenizers")
    try:
        own = tokenizers.Tokenizer.from_str(data.decode())
        own.no_padding()
        own.no_truncation()
        return all(own.encode(*texts).ids == library(*texts)["input_ids"] for texts in SAMPLES)
    except Exception:  # what cannot be read, or cannot read words, is refused in its own place
        return True


def padding_of(config: Any, tokenizer: bytes | None) -> int:
    """The id of no token; where nothing names one, the one that ends a text, as decoders are used.

    Raises InvalidFolder where there is neither.
    """
    added = json.loads(tokenizer).get("added_tokens", []) if tokenizer else []
    ends = getattr(config, "eos_token_id", None)
    named = [getattr(config, "pad_token_id", None)]
    named += [next((one["id"] for one in added if one["content"] == name), None) for name in PADDING]
    named += ends[:1] if isinstance(ends, list) else [ends]
    found = next((one for one in named if isinstance(one, int)), None)
    if found is None:
        raise InvalidFolder("config.json names no padding; set pad_token_id in it, to an id that is no text's")
    return found


def longest_text(model: nn.Module, folder: Path, padding: int) -> int:
    """The most tokens of a text: by the table of positions, and by what the tokenizer was made for."""
    told = [read_json(folder / "tokenizer_config.json").get("model_max_length"),
            read_json(folder / "sentence_bert_config.json").get("max_seq_length")]  # fmt: skip
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        tables = [m for name, m in model.named_modules() if "position" in name and isinstance(m, nn.Embedding)]
        behind_padding = any(table.padding_idx is not None for table in tables)  # as RoBERTa counts them
        told.append(positions - padding - 1 if behind_padding else positions)
    return min((one for one in told if isinstance(one, int) and 0 < one < 10**6), default=LONGEST)


def takes_types(model: nn.Module, library: Any, types: Sequence[int]) -> bool:
    """Whether the model is told of which of two texts each token is: the library's tokenizer tells it, where it is
    there, and tokens are told apart."""
    named = "token_type_ids" in inspect.signature(model.forward).parameters
    if library is not None and "token_type_ids" not in library.model_input_names:
        return False
    return named and any(types) and getattr(model.config, "type_vocab_size", None) not in (0, 1)


def read_json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found
