"""Trains the demo model of words: python models/language/train.py --data /usr/share/dict [--steps 6000].

The lists are Debian's: apt-get install wamerican wfrench wngerman witalian wspanish. Writes tokenizer.json and
weights.safetensors beside this file and prints the accuracy to put into card.toml.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from data import LISTS, is_test, lines, read_words
from net import PAD, PIECES, build
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SEED = 20261128
BATCH = 128
HERE = Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[MASK]"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with the five word lists")
    parser.add_argument("--steps", type=int, default=6000)
    options = parser.parse_args()
    words = read_words(options.data)
    seen = {language: [word for word in those if not is_test(word)] for language, those in words.items()}
    new = {language: [word for word in those if is_test(word)] for language, those in words.items()}
    tokenizer = pieces(seen)
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    model = train(tokenizer, seen, options.steps)
    save_file(model.state_dict(), HERE / "weights.safetensors")
    (HERE / "labels.txt").write_text("\n".join(LISTS) + "\n", "utf-8")
    texts, labels = lines(new, 10000, np.random.default_rng(SEED + 1))
    print(f"test accuracy {accuracy(model, tokenizer, texts, labels):.4f} on {len(texts)} lines of new words")


def pieces(words: dict[str, list[str]]) -> Tokenizer:
    """WordPiece over as many words of each language."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=PIECES, special_tokens=SPECIAL, show_progress=False)
    draw = np.random.default_rng(SEED)
    drawn = [word for those in words.values() for word in draw.choice(those, 40000)]
    tokenizer.train_from_iterator(drawn, trainer)
    return tokenizer


def train(tokenizer: Tokenizer, words: dict[str, list[str]], steps: int) -> nn.Module:
    """Cross-entropy by AdamW, one cycle of the learning rate, new lines at every step."""
    torch.manual_seed(SEED)
    draw = np.random.default_rng(SEED)
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    texts, labels = lines(words, steps * BATCH // 4, draw)  # each line is seen four times
    for step in range(steps):
        at = draw.integers(len(texts), size=BATCH).tolist()
        wanted = torch.tensor([labels[i] for i in at])
        loss = cross_entropy(model(ids_of(tokenizer, [texts[i] for i in at])), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 499:
            print(f"step {step + 1} of {steps}: loss of the batch {loss.item():.4f}", flush=True)
    return model.eval()


def ids_of(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """The ids of texts (n, longest), the shorter ones padded."""
    rows = [encoded.ids for encoded in tokenizer.encode_batch(list(texts))]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


@torch.no_grad()
def accuracy(model: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], labels: Sequence[int]) -> float:
    found = [model(ids_of(tokenizer, texts[i : i + 500])).argmax(1) for i in range(0, len(texts), 500)]
    return float((torch.cat(found) == torch.tensor(labels)).float().mean())


if __name__ == "__main__":
    main()
