"""Datasets: what is taken in, what is refused, and that equal items are one dataset whatever they came in."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tests.workers.datasets.dataset_files import PETS, npz, placed, png, sent, tarred, zipped
from tests.workers.datasets.uploads import BOXES, LABELS, MASKS, X, npy
from workers.datasets.library import STALE_S, Datasets
from workers.explanation.errors import InvalidDataset, UnknownDataset
from workers.explanation.tensors import digest_image, digest_tensor


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path / "datasets")


def test_equal_images_are_one_dataset_whatever_they_came_in(datasets: Datasets) -> None:
    """Order of the members, a folder around them and what file browsers leave behind do not matter."""
    backwards = dict(reversed(PETS.items()))
    wrapped = {f"./pets/{name}": data for name, data in backwards.items()}
    strays = {"__MACOSX/cat/._0.png": b"", ".DS_Store": b"", "cat/Thumbs.db": b"", **PETS}
    forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    archives = [
        zipped(PETS),
        zipped(backwards),
        zipped(strays),
        *(tarred(wrapped, kind, f) for f in forms for kind in ("", "gz")),
    ]
    assert len({sent(datasets, data).digest for data in archives}) == 1
    placed(datasets.folder / "pets", {"README.txt": b"for people", **PETS})
    own, upload = datasets.cards()
    assert own.digest == upload.digest
    assert (own.name, upload.name) == ("pets", None)
    for card in (own, upload):
        assert (card.kind, card.count, card.classes, card.shape) == ("images", 6, ("cat", "dog"), None)
        contents = datasets.contents(card)
        assert [contents.item(i) for i in range(6)] == list(PETS.values())
        assert contents.labels is not None
        assert contents.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_digest_is_of_the_items_in_order_and_of_their_labels(datasets: Datasets) -> None:
    head = orjson.dumps(
        {"classes": ["cat", "dog"], "boxes": False, "concepts": 0}, option=orjson.OPT_SORT_KEYS
    ).decode()
    lines = [head, *(f"{digest_image(data)} label {int(name[:3] == 'dog')}" for name, data in PETS.items())]
    assert sent(datasets, zipped(PETS)).digest == "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_names_longer_than_a_tars_header(datasets: Datasets) -> None:
    long = {f"{'c' * 120}/{'i' * 130}{name[4:]}": data for name, data in PETS.items() if name.startswith("cat")}
    cards = [sent(datasets, tarred(long, "", form)) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    assert cards[0] == cards[1]
    assert cards[0].classes == ("c" * 120,)


def test_images_in_no_folder_have_no_class(datasets: Datasets) -> None:
    card = sent(datasets, zipped({"a.png": png(1), "b.png": png(2)}))
    assert (card.count, card.classes) == (2, ())
    assert datasets.contents(card).labels is None


def test_arrays_come_back_as_they_were_sent(datasets: Datasets) -> None:
    card = sent(datasets, npz(inputs=X, labels=LABELS, masks=MASKS, boxes=BOXES))
    assert (card.kind, card.count, card.shape, card.concepts, card.boxes) == ("tensors", 3, (2, 4, 5), 2, True)
    assert (card.classes, card.categories) == (("0", "1", "2"), 0)
    contents = datasets.contents(card)
    np.testing.assert_array_equal([np.asarray(contents.item(i)) for i in range(3)], X)
    for found, given in ((contents.labels, LABELS), (contents.masks, MASKS), (contents.boxes, BOXES)):
        assert found is not None
        np.testing.assert_array_equal(found, given)


def test_the_categories_of_concepts_are_said_by_an_array(datasets: Datasets) -> None:
    card = sent(datasets, npz(inputs=X, masks=MASKS, categories=np.array([1, 0], np.uint8)))
    assert (card.concepts, card.categories, datasets.contents(card).categories) == (2, 2, (1, 0))
    alike = sent(datasets, npz(inputs=X, masks=MASKS, categories=np.array([0, 0])))
    assert (alike.concepts, alike.categories) == (2, 1)
    assert len({card.digest, alike.digest, sent(datasets, npz(inputs=X, masks=MASKS)).digest}) == 3


def test_series_of_each_step_come_with_the_items(datasets: Datasets) -> None:
    series = np.arange(18.0).reshape(3, 3, 2)
    card = sent(datasets, npz(inputs=X, series=series.astype(np.float32)))
    assert card.series == 2
    assert card.digest == sent(datasets, npz(inputs=X, series=series)).digest
    found = datasets.contents(card).series
    assert found is not None
    np.testing.assert_array_equal(found, series)


def test_an_item_counts_by_its_digest_as_an_input(datasets: Datasets) -> None:
    """So the dtype and the compression of the file do not matter, as they do not for an input."""
    head = orjson.dumps({"classes": [], "boxes": False, "concepts": 0}, option=orjson.OPT_SORT_KEYS).decode()
    expected = "sha256:" + hashlib.sha256("\n".join([head, *map(digest_tensor, X)]).encode()).hexdigest()
    fortran, big = np.asfortranarray(X), X.astype(">f8")
    for data in (npz(inputs=X), npz(False, inputs=X.astype(np.float64)), npz(inputs=fortran), npz(inputs=big)):
        assert sent(datasets, data).digest == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": X[::-1]},
        {"inputs": X * 2},
        {"labels": np.array([2, 1, 2])},
        {"labels": None},
        {"masks": ~MASKS},
        {"categories": np.arange(MASKS.shape[1]) * 0},
        {"masks": None},
        {"boxes": BOXES / 2},
        {"boxes": None},
        {"series": np.arange(18.0).reshape(3, 3, 2)},
    ],
)
def test_whatever_is_said_of_an_item_is_in_the_digest(datasets: Datasets, changed: dict[str, Any]) -> None:
    whole = {"inputs": X, "labels": LABELS, "masks": MASKS, "boxes": BOXES}
    other = {name: array for name, array in {**whole, **changed}.items() if array is not None}
    assert sent(datasets, npz(**whole)).digest != sent(datasets, npz(**other)).digest


def test_an_upload_is_seen_whole_or_not_at_all(datasets: Datasets, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        seen.append(len(Datasets(datasets.folder).cards()))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    card = sent(datasets, npz(inputs=X))
    assert seen == [0]
    assert Datasets(datasets.folder).cards() == [card]


def test_what_a_dying_process_left_is_swept_away(datasets: Datasets) -> None:
    old, young = datasets.folder / ".incoming-old", datasets.folder / ".incoming-young"
    for path in (old, young):
        placed(path, {"upload": b"half"})
    os.utime(old, (0, os.stat(young).st_mtime - STALE_S - 1))
    with datasets.room():
        assert not old.exists()
        assert young.exists()
    assert datasets.cards() == []


def test_the_same_upload_at_once_is_one_dataset(datasets: Datasets) -> None:
    threads = [threading.Thread(target=sent, args=(datasets, npz(inputs=X))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (card,) = datasets.cards()
    np.testing.assert_array_equal(datasets.contents(card).item(2), X[2])
    assert [path.name for path in datasets.folder.iterdir()] == [card.digest.replace(":", "-")]


def test_who_reads_a_removed_dataset_reads_on(datasets: Datasets) -> None:
    card = sent(datasets, npz(inputs=X))
    contents = datasets.contents(card)
    assert datasets.remove(card.digest)
    assert not datasets.remove(card.digest)
    np.testing.assert_array_equal(contents.item(1), X[1])
    with pytest.raises(UnknownDataset):
        datasets.card(card.digest)
    with pytest.raises(UnknownDataset):
        datasets.contents(card)


def test_a_method_whose_dataset_was_not_named_is_told_which_it_takes(datasets: Datasets) -> None:
    with pytest.raises(UnknownDataset, match="no dataset called training, which a method takes where none is named"):
        datasets.card("training")
    with pytest.raises(UnknownDataset, match="no dataset of this name"):
        datasets.card("pets")


def test_the_operators_folder_is_known_by_name_and_by_what_it_holds_now(datasets: Datasets) -> None:
    folder = placed(datasets.folder / "pets", PETS)
    before = datasets.card("pets")
    assert datasets.card(before.digest) == before
    placed(folder, {"dog/9.png": png(9)})
    after = datasets.card("pets")
    assert (before.count, after.count) == (6, 7)
    assert after.digest != before.digest
    with pytest.raises(UnknownDataset):
        datasets.card(before.digest)


def test_the_operators_arrays(datasets: Datasets) -> None:
    placed(datasets.folder / "toy", {"inputs.npy": npy(X), "labels.npy": npy(LABELS)})
    assert datasets.card("toy").digest == sent(datasets, npz(inputs=X, labels=LABELS)).digest


def test_a_bad_folder_does_not_hide_the_others(datasets: Datasets) -> None:
    placed(datasets.folder / "empty", {"notes.txt": b"none yet"})
    placed(datasets.folder / "pets", PETS)
    (datasets.folder / "pets" / "cat" / "gone.png").symlink_to("nowhere")
    (datasets.folder / "stray.txt").write_text("hello")
    assert [card.name for card in datasets.cards()] == ["pets"]
    with pytest.raises(InvalidDataset):
        datasets.card("empty")


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../pets", "pets/cat", ".hidden", "pets\0", "sha256-" + "0" * 64, "/etc"]
)
def test_a_name_leads_nowhere_else(datasets: Datasets, name: str) -> None:
    placed(datasets.folder / "pets", PETS)
    placed(datasets.folder / ".hidden", PETS)
    placed(datasets.folder / ("sha256-" + "0" * 64), PETS)
    with pytest.raises(UnknownDataset):
        datasets.card(name)


def test_items_are_read_one_at_a_time(datasets: Datasets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder's images are opened when they are asked for."""
    placed(datasets.folder / "pets", PETS)
    contents = datasets.contents(datasets.card("pets"))
    opened: list[str] = []
    read: Callable[[Path], bytes] = Path.read_bytes

    def noted(path: Path) -> bytes:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    assert contents.item(4) == PETS["dog/1.png"]
    assert opened == ["1.png"]
