"""Keeps a repository in step with its folders and with what is asked of it: a thread that watches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import structlog
import watchfiles
from redis.exceptions import RedisError

from workers.engine.device import DeviceLost
from workers.models.repository import ModelRepository
from workers.models.versions import Wishes
from workers.runtime.execute.faults import EXIT_CODE
from workers.runtime.wishes import Asked

SOON_S = 0.2
ASK_S = 1.0  # how often it is looked what is asked over HTTP,
LOOK_S = 10.0  # and at the folders, where the system tells of no changes

log = structlog.get_logger()


class Watch:
    """Rounds of a repository, as often as something happens; `load(name)` brings a model into memory."""

    def __init__(self, repository: ModelRepository, asked: Asked, load: Callable[[str], object]) -> None:
        self.repository = repository
        self.asked = asked
        self.load = load
        self._wishes = Wishes()
        self._moved = threading.Event()

    def start(self) -> None:
        """Watch in the background, for as long as the process lives."""
        threading.Thread(target=self._rounds, name="repository", daemon=True).start()
        threading.Thread(target=self._watched, name="watch", daemon=True).start()

    def _rounds(self) -> None:
        looked = asked = 0.0
        again = True
        while True:
            if time.monotonic() - asked > ASK_S:
                asked, before = time.monotonic(), self._wishes
                self._ask()
                again = again or before != self._wishes
            if again or self._moved.is_set() or time.monotonic() - looked > LOOK_S:
                self._moved.clear()
                looked = time.monotonic()
                again = self._round()
            self._moved.wait(SOON_S)

    def _round(self) -> bool:
        try:
            return self.repository.round(self._wishes)
        except Exception:
            log.exception("the folders of models could not be looked at")  # and try again
            return False

    def _ask(self) -> None:
        try:
            self._wishes, wanted = self.asked.wishes()
        except RedisError as error:
            log.warning("it cannot be read what is asked of the models", error=type(error).__name__)
            return
        except Exception:
            log.exception("what is asked of the models could not be carried out")  # and try again
            return
        for name in wanted:
            threading.Thread(target=self._load, args=(name,), name="load", daemon=True).start()

    def _load(self, name: str) -> None:
        try:
            self.load(name)
        except DeviceLost:
            log.critical("the device is lost; this process ends")
            os._exit(EXIT_CODE)
        except Exception as error:
            log.warning("a model was to be loaded, and is not", model=name, reason=str(error))

    def _watched(self) -> None:
        models = self.repository.models
        while True:
            try:
                for _ in watchfiles.watch(models, watch_filter=_shown(models), debounce=400, step=100):
                    self._moved.set()
            except Exception as error:  # the folder is not there, or the system watches no more of them
                log.debug("the folder of models is not watched", error=str(error))
            time.sleep(ASK_S)
            self._moved.set()


def _shown(models: Path) -> Callable[[watchfiles.Change, str], bool]:
    """What is in hidden folders is ours, or nobody's."""
    root = models.resolve()

    def is_shown(_: watchfiles.Change, path: str) -> bool:
        place = Path(path)
        parts = place.relative_to(root).parts if place.is_relative_to(root) else place.parts[-2:]
        return not parts or not parts[0].startswith((".", "_"))

    return is_shown


def served(patterns: str) -> Callable[[str], bool]:
    """Whether a name is one of the patterns, which stand with commas between them."""
    each = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    return lambda name: any(fnmatchcase(name, pattern) for pattern in each)
