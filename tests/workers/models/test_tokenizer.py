"""Texts as tokens: what each token is of the text, which are the tokenizer's own, what did not fit."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors

from workers.explanation.errors import InputTooLarge, InvalidFolder, InvalidText
from workers.explanation.text import MAX_CHARACTERS, decode_text, digest_text, with_values
from workers.models.tokenizer import Tokenizer, read_tokenizer

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "un",
    "##believ",
    "##able",
    "the",
    "cat",
    "##s",
    "sat",
    ".",
    "é",
]


def written(special: bool = True) -> bytes:
    library = Library(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    library.add_special_tokens(PIECES[:5])
    if special:
        library.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    library.enable_padding(length=20)
    library.enable_truncation(3)
    return str(library.to_str()).encode()


def reader(length: int = 16, special: bool = True) -> Tokenizer:
    return read_tokenizer(written(special), length, None, None, "toy/tokenizer.json")


def test_pieces_of_a_word_are_told_as_one_and_special_tokens_as_none() -> None:
    text = "the unbelievable  cats sat."
    found = reader().encode(text)
    assert [token.text for token in found.tokens] == [
        "[CLS]", "the", "un", "believ", "able", "cat", "s", "sat", ".", "[SEP]",
    ]  # fmt: skip
    assert [token.word for token in found.tokens] == [None, 0, 1, 1, 1, 2, 2, 3, 4, None]
    assert [text[start:end] for start, end in found.words] == ["the", "unbelievable", "cats", "sat", "."]
    assert found.ids == (2, 8, 5, 6, 7, 9, 10, 11, 12, 3)
    assert (found.left_out, found.cut) == (0, None)


def test_what_the_file_says_of_padding_and_truncation_is_the_cards_to_say() -> None:
    assert len(reader().encode("the cat sat. the cat sat.").ids) == 10


def test_what_does_not_fit_is_told_with_where_it_begins() -> None:
    text = "the cat sat. the cats sat."
    found = reader(length=6).encode(text)
    assert [token.text for token in found.tokens] == ["[CLS]", "the", "cat", "sat", ".", "[SEP]"]
    assert found.left_out == 5
    assert text[: found.cut] == "the cat sat."
    assert found.told(text)["truncated"] == {"tokens": 6, "of": 11, "from": 12}


def test_words_sum_over_their_pieces() -> None:
    text = "unbelievable cats"
    told = with_values(reader(special=False).encode(text).told(text), [1, 2, 4, 8, 16])
    assert [(word["text"], word["value"]) for word in told["words"]] == [("unbelievable", 7.0), ("cats", 24.0)]
    assert [token["value"] for token in told["tokens"]] == [1, 2, 4, 8, 16]


def test_a_tokenizer_without_words_of_its_own_is_cut_at_white_space() -> None:
    library = Library(models.BPE({"a": 0, "b": 1, "▁": 2, "▁a": 3}, [("▁", "a")]))
    library.normalizer = None
    library.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    found = read_tokenizer(str(library.to_str()).encode(), 16, None, None, "toy").encode("ab a b")
    assert [token.word for token in found.tokens] == [0, 0, 1, 2, 2]


def test_special_ids_are_found_by_their_usual_names_or_given() -> None:
    assert (reader().padding, reader().mask) == (0, 4)
    given = read_tokenizer(written(), 16, 9, 12, "toy")
    assert (given.padding, given.mask) == (9, 12)


@pytest.mark.parametrize("data", [b"{}", b"\xff", b"[1, 2", json.dumps({"model": {"type": "Evil"}}).encode()])
def test_a_file_that_is_no_tokenizer_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(InvalidFolder, match=r"toy: it is no tokenizer\.json"):
        read_tokenizer(data, 16, None, None, "toy")


def test_a_length_that_special_tokens_alone_fill_is_refused() -> None:
    with pytest.raises(InvalidFolder, match="adds 2 special tokens"):
        reader(length=2)


@pytest.mark.parametrize(("data", "why"), [(b"\xff\xfe", "not UTF-8 from byte 0"), (b" \n", "empty"), (b"", "empty")])
def test_bytes_that_are_no_text_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidText, match=why):
        decode_text(data)


def test_a_text_too_long_is_refused_before_it_is_cut_into_tokens() -> None:
    with pytest.raises(InputTooLarge):
        decode_text(b"a" * (MAX_CHARACTERS + 1))


def test_a_text_has_another_digest_than_a_file_of_its_bytes() -> None:
    import hashlib

    assert digest_text("é") != "sha256:" + hashlib.sha256("é".encode()).hexdigest()
    assert digest_text("a") != digest_text("b")
