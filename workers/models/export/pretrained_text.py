"""What a folder of save_pretrained says of texts: its tokenizer, its padding, how long they may be."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from workers.explanation.errors import InvalidFolder
from workers.models.tokenizer import PADDING

TOKENIZER = "tokenizer.json"
LONGEST = 512  # tokens, where neither the model nor the command says less


def tokenizer_of(folder: Path) -> bytes | None:
    """tokenizer.json, or what the library makes of an older tokenizer's files; None without any."""
    if (folder / TOKENIZER).is_file():
        return (folder / TOKENIZER).read_bytes()
    if not any(
        (folder / name).is_file() for name in ("vocab.txt", "vocab.json", "tokenizer_config.json", "spiece.model")
    ):
        return None
    transformers = importlib.import_module("transformers")
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        text: str = found.backend_tokenizer.to_str()
    except Exception:  # of many kinds, one for each tokenizer
        raise InvalidFolder(
            f"{folder}: its tokenizer has no {TOKENIZER}, the one form that is read; write it with "
            f"AutoTokenizer.from_pretrained(NAME).save_pretrained({str(folder)!r})"
        ) from None
    return text.encode()


def padding_of(config: Any, tokenizer: bytes | None) -> int:
    if isinstance(config.pad_token_id, int):
        return config.pad_token_id
    added = json.loads(tokenizer).get("added_tokens", []) if tokenizer else []
    return next((one["id"] for name in PADDING for one in added if one["content"] == name), 0)


def longest_text(config: Any, folder: Path, padding: int) -> int:
    """The most tokens of a text: by the table of positions, and by what the tokenizer was made for."""
    told = [read_json(folder / "tokenizer_config.json").get("model_max_length"),
            read_json(folder / "sentence_bert_config.json").get("max_seq_length")]  # fmt: skip
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        behind_padding = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
        told.append(positions - padding - 1 if behind_padding else positions)
    return min((one for one in told if isinstance(one, int) and 0 < one < 10**6), default=LONGEST)


def read_json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found
