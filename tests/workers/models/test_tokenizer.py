"""Texts as tokens: what each token is of the text, which are the tokenizer's own, what did not fit."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors

from workers.explanation.errors import InputTooLarge, InvalidFolder, InvalidText, ModelError
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


def pairs(length: int = 16) -> Tokenizer:
    return read_tokenizer(written(), length, None, None, "toy/tokenizer.json", pair=True)


def test_of_two_texts_each_token_says_of_which_it_is_and_where_in_the_whole() -> None:
    text = "the cat\nthe cats sat"
    found = pairs().encode(text)
    assert [text[token.start : token.end] for token in found.tokens if not token.special] == [
        "the", "cat", "the", "cat", "s", "sat",
    ]  # fmt: skip
    assert found.ids == (2, 8, 9, 3, 8, 9, 10, 11, 3)
    assert found.types == (0, 0, 0, 0, 1, 1, 1, 1, 1)
    assert [token.word for token in found.tokens] == [None, 0, 1, None, 2, 3, 3, 4, None]
    assert [text[start:end] for start, end in found.words] == ["the", "cat", "the", "cats", "sat"]


def test_of_two_texts_the_longer_is_cut_and_it_is_told_where() -> None:
    text = "the cat\nthe cats sat. the cat sat"
    found = pairs(length=9).encode(text)
    assert len(found.ids) == 9
    assert text[: found.cut] == "the cat\nthe cats sat"
    assert found.left_out == 4
    first = "the cats sat. the cat sat\nthe cat"
    assert first[: pairs(length=9).encode(first).cut] == "the cats sat"


def test_a_lone_line_is_one_text_and_a_card_of_one_text_has_lines_in_it() -> None:
    assert pairs().encode("the cat").types == (0, 0, 0, 0)
    assert reader().encode("the\ncat").ids == (2, 8, 9, 3)


@pytest.mark.parametrize("text", ["the cat\n", "\nthe cat", "\n", " \n "])
def test_one_of_two_texts_that_has_no_word_is_refused(text: str) -> None:
    with pytest.raises(InvalidText, match="no token"):
        pairs().encode(text)


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


WORDS: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2}, "unk_token": "[UNK]"},
}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
MARK = {"SpecialToken": {"id": "[X]", "type_id": 0}}


def replace(content: str, **pattern: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def steps(*normalizers: dict[str, Any]) -> dict[str, Any]:
    return {"normalizer": {"type": "Sequence", "normalizers": list(normalizers)}}


def looked_up(table: bytes) -> dict[str, Any]:
    return {"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}}


def template(*pieces: dict[str, Any], **tokens: Any) -> dict[str, Any]:
    known = {"special_tokens": tokens}
    return {"post_processor": {"type": "TemplateProcessing", "single": list(pieces), "pair": [], **known}}


def changed(change: dict[str, Any]) -> Tokenizer:
    return read_tokenizer(json.dumps({**WORDS, **change}).encode(), 16, None, None, "toy/tokenizer.json")


@pytest.mark.parametrize(("change", "why"), [
    ({"normalizer": replace("a" * 1000, String="a")}, "1e[+]03 characters of one"),
    ({"normalizer": replace("a" * 1000, Regex="")}, "1e[+]03 characters of one"),
    (steps(*[replace("aaaa", String="a")] * 5), "1.02e[+]03 characters of one"),
    (steps(steps(*[{"type": "Prepend", "prepend": "b"}] * 9)["normalizer"]), "512 characters of one"),
    (looked_up(bytes([4, 0, 0, 0]) + bytes(4) + b"a" * 300), "300 characters of one"),
    (looked_up(b"\xff" * 9), "cut off or damaged"),
    (looked_up(bytes(9)), "cut off or damaged"),
    ({"normalizer": {"type": "Sequence"}}, "not of the form"),
    ({"normalizer": []}, "not of the form"),
    (template(TEXT, *[MARK] * 100), "once, among at most 100 pieces"),
    (template(TEXT, TEXT), "the text once"),
    (template({"Sequence": {"id": "B", "type_id": 0}}), "the text once"),
    (template(MARK, TEXT), "no entry"),
    ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "chunk size"),
])  # fmt: skip
def test_a_tokenizer_that_could_end_the_process_is_refused(change: dict[str, Any], why: str) -> None:
    """A panic of the library is no Exception, and what takes all memory is no error at all."""
    with pytest.raises(InvalidFolder, match=why):
        changed(change)


@pytest.mark.parametrize(("change", "text"), [
    ({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}},
     "a" * 3000 + "!"),
    ({"model": {"type": "WordLevel", "vocab": {"a": 1, "b": 2}, "unk_token": "[UNK]"}}, "a c"),
    (template(MARK, TEXT, **{"[X]": {"id": "[X]", "ids": [1, 1], "tokens": ["x"]}}), "a b"),
])  # fmt: skip
def test_a_text_that_the_library_fails_at_is_told(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match="tokenizer could not read the text"):
        changed(change).encode(text)


def test_normalizers_as_published_ones_have_them_are_taken() -> None:
    index = bytes(1024)  # that finds nothing
    table = looked_up(len(index).to_bytes(4, "little") + index + b"b\0" + b"x" * 18)["normalizer"]
    spaces = [replace("\u2581", String=" "), replace(" ", Regex=" {2,}")]
    for kinds in ([table, *spaces[1:]], [{"type": "NFKC"}, {"type": "Prepend", "prepend": "\u2581"}, *spaces]):
        assert changed(steps(*kinds)).encode("a b").ids
