"""What is asked of the models over HTTP, as a worker carries it out."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest
from redis import Redis

from workers.jobs import keys
from workers.jobs.blobs import Objects
from workers.models.kept_cards import PLACE
from workers.runtime.wishes import Asked


def test_what_was_sent_is_had_again_where_somebody_removed_what_is_ours(jobs: Redis, tmp_path: Path) -> None:
    """The folder beside the models is hidden, and looks like a cache."""
    models, packed = tmp_path / "models", tmp_path / "a.zip"
    models.mkdir()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("card.toml", '[model]\nsource = "model.pt2"\n[input]\nshape = [3]\n')
        archive.writestr("model.pt2", b"data")
    objects = Objects(str(tmp_path / "objects"))
    asked = Asked(jobs, objects, models, 2**20, list)
    shutil.rmtree(models / PLACE)
    assert asked.wishes()[0].folders == {}
    jobs.hset(keys.UPLOADS, "a", objects.put_file("models", packed))
    for _ in range(2):
        wishes, _ = asked.wishes()
        assert wishes.failed == {}
        assert (wishes.folders["a"] / "model.pt2").read_bytes() == b"data"
        shutil.rmtree(models / PLACE)


def test_a_folder_of_models_that_has_gone_is_not_made(jobs: Redis, tmp_path: Path) -> None:
    """What it lay on may be away, and come back."""
    models = tmp_path / "models"
    models.mkdir()
    asked = Asked(jobs, Objects(str(tmp_path / "objects")), models, 2**20, list)
    shutil.rmtree(models)
    jobs.hset(keys.UPLOADS, "a", "models/0123")
    assert asked.wishes()[0].failed.keys() == {"a"}
    assert not models.exists()


def test_where_the_models_cannot_be_written_every_start_has_the_same_place(
    jobs: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is not fetched into another folder by each of them, to lie there for good."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "file").touch()
    models = tmp_path / "file" / "models"
    for _ in range(2):
        Asked(jobs, Objects(None), models, 2**20, list)
    (place,) = (tmp_path / "tmp").iterdir()
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)  # of somebody else, who may put there what he likes
    Asked(jobs, Objects(None), models, 2**20, list)
    assert len(list((tmp_path / "tmp").iterdir())) == 2
    place.rmdir()
    place.symlink_to(tmp_path)
    Asked(jobs, Objects(None), models, 2**20, list)
    assert len(list((tmp_path / "tmp").iterdir())) == 3
