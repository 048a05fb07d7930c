"""What the tests of attacks and tensor_attacks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.archives import nothing_else
from tests.workers.models.archives import Entries, archive_folder, packed
from workers.explanation.errors import ModelError
from workers.models.folder import read_folder
from workers.models.loading import load


def refusal(path: Path, content: Entries) -> str:
    folder = archive_folder(path, packed(content))
    with nothing_else(), pytest.raises(ModelError) as caught:
        load(read_folder(folder))
    assert len(caught.value.detail) < 500
    return caught.value.detail


TOUCH = "__import__('pathlib').Path('{mark}').touch()"


def tensor(**changes: Any) -> Callable[[Any], None]:
    """The first weight described otherwise."""

    def change(table: Any) -> None:
        meta = table["config"]["0.weight"]
        meta["tensor_meta"].update({key: value for key, value in changes.items() if key in meta["tensor_meta"]})
        meta.update({key: value for key, value in changes.items() if key in meta})

    return change
