"""The job records and stored inputs, as a worker sees them: claim, read, renew, finish, hand back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, cast

import orjson
import structlog
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from workers.explanation.errors import (
    DeadlineExceeded,
    ExplainError,
    InputError,
    InternalError,
    ModelNotServed,
    RevisionNotServed,
    WorkerCrashed,
)
from workers.jobs import keys, profile
from workers.jobs.blobs import Objects
from workers.jobs.scripts import Script, source
from workers.jobs.stored_inputs import Fields, read_inputs
from workers.jobs.work import Claim, Work, claim_of, with_input

LEASE_MS = 8000
ATTEMPTS = 3
SHORT = 4  # passes of a job that is short
SHORT_S = 0.15  # that short ones take together, where others are done beside them
NEWEST = 0.2  # weight of the latest measurement in a pace
PROBE_S = 60
PROGRESS_S = 3600  # that progress is kept of work that says nothing more
REMEMBERED_S = 60  # a client's mistake is not computed again so soon
PROFILE_S = 10  # that what a worker serves is known after it last said so
UNSERVED_S = 60.0  # that work waits for a worker that can do it, while none lives
UNSERVED_AT_ONCE = 500

log = structlog.get_logger()

_TOO_LATE = DeadlineExceeded("the work could not start before its deadline, and was dropped unrun")
_CRASHES = WorkerCrashed(f"workers died on this job {ATTEMPTS} times; it is not tried again")


class Store:
    """Job records, leases and inputs in the jobs Redis. Work is claimed under the `profile` that was offered last."""

    def __init__(self, jobs: Redis, objects: Objects | None = None) -> None:
        self.jobs = jobs
        self.objects = objects or Objects(None)
        self.profile = profile.NOTHING
        self._scripts: dict[Script, Any] = {}

    def offer(self, words: Sequence[str], ttl: int = PROFILE_S, now: Sequence[str] | None = None) -> list[str]:
        """Tell what this worker serves, as `profile.served` says it; it lapses after so many seconds.

        `now` is what of it is claimed for the time being, where that is less. Gives the priorities whose bells are due,
        for what waited for just that.
        """
        due: set[bytes] = set()
        for told in (words,) if now is None or now == words else (words, now):
            name = profile.name_of(told)
            due.update(self._run("offer", name, ttl, *told))
        self.profile = name
        return sorted(priority.decode() for priority in due)

    def claim(self, bell: str, owner: str, serves: str = ",".join(keys.PRIORITIES), *, beside: bool = False) -> Claim:
        """Answer the bell of a priority: take whoever is next of all those served, with what may share its pass.

        Only of what this worker's profile serves. Small inputs come along; `with_inputs` reads the others.
        Where others run `beside` it, it is no more than SHORT_S of what is short, so that theirs is as much.
        """
        terms = (LEASE_MS, ATTEMPTS, keys.RECORD_TTL_S, problem(_TOO_LATE), problem(_CRASHES), self.profile)
        said, *came = self._run("claim", bell, serves, owner, *terms, SHORT if beside else 0, SHORT_S)
        return claim_of(said, came)

    def input(self, digest: str) -> Fields | InternalError:
        """The fields `kind` and `data` of an input; none where it is not there, the error where it cannot be read."""
        return read_inputs(self.jobs, self.objects, [digest])[digest]

    def with_inputs(self, works: Sequence[Work], owner: str) -> list[Work]:
        """Claimed works with their inputs; one whose input cannot be reached now fails.

        It may take longer than a lease lasts: hold it meanwhile.
        """
        wanted = {work.job.input for work in works if work.job.input and work.data is None}
        inputs = read_inputs(self.jobs, self.objects, wanted)
        found = []
        for work in works:
            given = inputs.get(work.job.input or "", {})
            if isinstance(given, InternalError):
                self.finish(work.id, owner, given)
            else:
                found.append(with_input(work, given) if given else work)
        return found

    def renew(self, owner: str, ids: Sequence[str]) -> set[str]:
        """Hold on to the leases; the ids that are no longer this owner's, or no longer wanted."""
        return {lost.decode() for lost in self._run("renew", owner, LEASE_MS, *ids)}

    def let_go(self, owner: str, ids: Sequence[str]) -> None:
        """Drop leases: the reconciler finds what is not finished, and this attempt counts."""
        self._run("renew", owner, 1, *ids)

    def waiting(self, queues: Sequence[str], profile: str) -> bool:
        """Whether work waits that a worker of these queues and this profile could take.

        Raises RedisError where Redis takes no writes.
        """
        waits = any(
            profile in of.decode()
            for priority in keys.PRIORITIES
            if priority in queues
            for of in cast("set[bytes]", self.jobs.smembers(keys.classes(priority)))
        )
        if waits:
            self.jobs.set(keys.PROBE, 1, ex=PROBE_S)
        return waits

    def finish_together(self, ids: Sequence[str], owner: str) -> dict[str, bool]:
        """As `finish`, of jobs that succeeded, by one round trip; those that it could not close are not told of."""
        if len(ids) < 2:
            return {}
        try:
            answers = self._finished(ids, owner)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                self.jobs.script_load(source("finish"))
                answers = self._finished(ids, owner)
        except RedisError as away:
            log.warning("jobs could not be closed together", error=type(away).__name__)
            return {}
        told = zip(ids, answers, strict=True)
        return {job_id: bool(answer) for job_id, answer in told if not isinstance(answer, Exception)}

    def _finished(self, ids: Sequence[str], owner: str) -> list[Any]:
        with self.jobs.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.evalsha(self._script("finish").sha, 0, job_id, owner, "succeeded", keys.RECORD_TTL_S)
            return pipe.execute(raise_on_error=False)

    def finish(self, job_id: str, owner: str, error: ExplainError | None = None) -> bool:
        """Close a job as succeeded or failed; False where something closed it before."""
        written: list[Any] = []
        if error is not None:
            remembered = REMEMBERED_S if isinstance(error, InputError) else 0
            written = ["error", problem(error), "remembered_until", self.now() + remembered]
        event = "failed" if error else "succeeded"
        return bool(self._run("finish", job_id, owner, event, keys.RECORD_TTL_S, *written))

    def hand_back(self, owner: str, ids: Sequence[str]) -> list[str]:
        """Return unfinished work to the front of its lines, uncounted; the priorities whose bells are due."""
        return [priority.decode() for priority in self._run("hand_back", owner, *ids)] if ids else []

    def reconcile(self, ring_after_s: float, unserved_s: float = UNSERVED_S) -> tuple[list[str], list[str]]:
        """Put back what lost its worker; returns those ids and the priorities whose bells are due.

        What has waited for `unserved_s` while no worker could do it fails, and says why.
        """
        terms = (keys.RECORD_TTL_S, problem(_TOO_LATE), unserved_s, UNSERVED_AT_ONCE)
        answer = orjson.loads(self._run("reconcile", ring_after_s, *terms))
        why = cache(self._unserved)
        for one in answer.get("unserved", ()):
            self.finish(one["id"], "", why(one["model"], one["needs"]))
        return answer.get("lost", []), answer.get("ring", [])

    def _unserved(self, model: str, needs: str) -> ModelNotServed | RevisionNotServed:
        """Why no worker took what needs this: a version of a model that none has, or a method."""
        digests, methods = profile.lacking(needs)
        for name in cast("set[bytes]", self.jobs.smembers(keys.PROFILES)):
            there = cast("set[bytes]", self.jobs.smembers(keys.profile(name.decode())))
            if all(f"model:{digest}".encode() in there for digest in digests):
                return RevisionNotServed(
                    f"this was asked of {', '.join(methods)} by an API of another version than the workers, and none "
                    "that has it came; ask again once both are of one version"
                )
        version = digests[0].removeprefix("sha256:")[:12] if len(digests) == 1 else ", ".join(digests)
        if precision := digests[0].partition("@")[2]:
            return ModelNotServed(
                f"no worker serves {model}@{version} in {precision}, and none came; start one with "
                f"WHENCE_PRECISION={precision}, or the API without it"
            )
        return ModelNotServed(f"no worker serves {model}@{version} any more, and none came; ask {model} again")

    def report(self, ids: Sequence[str], done: int, total: int, unit: str) -> set[str]:
        """Publish how far a batch is; the ids that are no longer wanted."""
        return {lost.decode() for lost in self._run("report", done, total, unit, PROGRESS_S, *ids)}

    def paced(self, seconds: Mapping[str, float]) -> None:
        """Learn how long a pass of one row took just now, by `keys.pace`: what estimates of waits are made from."""
        if seconds:
            self._run("pace", NEWEST, *chain.from_iterable(seconds.items()))

    def now(self) -> float:
        """Redis's clock, in unix seconds: the one clock that all agree on."""
        seconds, micro = self.jobs.time()
        return seconds + micro / 1e6

    def _run(self, name: Script, *arguments: Any) -> Any:
        return self._script(name)(args=arguments)

    def _script(self, name: Script) -> Any:
        if name not in self._scripts:
            self._scripts[name] = self.jobs.register_script(source(name))
        return self._scripts[name]


def problem(error: ExplainError) -> bytes:
    """What of an error is stored: its code, its sentence, what in the request it is about, and what works instead."""
    told = {"code": error.code, "detail": error.detail, "pointer": error.pointer}
    return orjson.dumps({**told, "alternatives": error.alternatives} if error.alternatives else told)
