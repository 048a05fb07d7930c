"""The names of everything that Whence keeps in Redis; the scripts know the same names."""

from typing import Literal, TypeAlias

PREFIX = "whence:"
EVENTS = PREFIX + "events"  # pub/sub channel: "<id> <what happened>"
OPEN = PREFIX + "open"  # sorted set: unfinished ids by creation time
INDEX = PREFIX + "index"  # sorted set: the latest ids by creation time, finished ones too
BELLS = PREFIX + "bells"  # sorted set: priorities whose doorbell has rung and is not answered yet, by when
TURN = PREFIX + "turn"  # string: how many claims had a choice between priorities
WITHDRAWN = PREFIX + "withdrawn"  # set: unfinished ids that some caller withdrew from
PACE = PREFIX + "pace"  # hash: seconds that a pass of one row takes, by model and method
BEGAN = PREFIX + "began"  # sorted set: "<name> <digest>" of versions of models, by when the name began to stand for it
UPLOADS = PREFIX + "uploads"  # hash: the object that a model sent over HTTP lies in, by its name
REPLACED = PREFIX + "replaced"  # sorted set: objects that another model sent has taken the place of, by when
UNLOADED = PREFIX + "unloaded"  # set: names of models that are not to be served
RELOADS = PREFIX + "reloads"  # hash: how often a model's folder was to be read anew, by its name
LOADS = PREFIX + "loads"  # hash: how often a model was to be loaded into memory, by its name
WORKERS = PREFIX + "workers"  # set: ids of workers that have sent a heartbeat
RECONCILER = PREFIX + "reconciler"  # string: which worker reconciles now
PROFILES = PREFIX + "profiles"  # set: names of the profiles that some worker had lately
NEEDED = PREFIX + "needed"  # hash: what each group that waits needs of a worker
NEEDS = PREFIX + "needs"  # hash: how many unfinished jobs need an input, by its digest
INPUTS = PREFIX + "inputs"  # sorted set: "<bytes> <digest>" of the inputs whose bytes are in Redis, by last use
WEBHOOKS = PREFIX + "webhooks"  # sorted set: webhooks that are still to be delivered, by when to try next
PROBE = PREFIX + "probe"  # string: written to see whether writes are taken
INPUT_BYTES = PREFIX + "input_bytes"  # string: the sum of those bytes

NO_ID = "0" * 64  # of what could not be read, and so has none
RECORD_TTL_S = 14 * 86400  # of finished jobs, at most: they go with their places in the index

Priority: TypeAlias = Literal["interactive", "batch"]
INTERACTIVE: Priority = "interactive"
BATCH: Priority = "batch"
PRIORITIES: tuple[Priority, ...] = (INTERACTIVE, BATCH)  # also the names of the Celery queues that doorbells ring in


def job(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}"


def lease(job_id: str) -> str:
    return f"{PREFIX}lease:{job_id}"


def line(priority: Priority, group: str, caller: str) -> str:
    """A list: the entries of a caller's group that wait, each the ids that are claimed together."""
    return f"{PREFIX}waiting:{priority}:{group}:{caller}"


def callers(priority: Priority) -> str:
    """A sorted set: the callers with waiting work, by the seconds of service that they have received."""
    return f"{PREFIX}turns:{priority}"


def groups(priority: Priority, caller: str) -> str:
    """A sorted set: the groups of a caller with waiting work, by the seconds of service that they have received."""
    return f"{PREFIX}turns:{priority}:{caller}"


def classes(priority: Priority) -> str:
    """A set: the classes of what waits, each the profiles that can do it, with commas."""
    return f"{PREFIX}classes:{priority}"


def profile(name: str) -> str:
    """A set: what the workers of this profile serve; it is gone soon after the last of them."""
    return f"{PREFIX}profile:{name}"


def past(level: str) -> str:
    """A sorted set: who stood in `callers` or `groups` (less `turns:`) and had received more than who stands there."""
    return f"{PREFIX}past:{level}"


def depth(priority: Priority) -> str:
    """A hash of what waits: `jobs`, `seconds` of estimated work, jobs by `caller:<id>` and `group:<name>`."""
    return f"{PREFIX}depth:{priority}"


def interest(job_id: str) -> str:
    """A sorted set of who wants it: `caller:<id>` for good, `open:<connection>` until then, in unix seconds."""
    return f"{PREFIX}interest:{job_id}"


def pace(model: str, method: str) -> str:
    """A field of PACE."""
    return f"{model} {method}"


def progress(job_id: str) -> str:
    return f"{PREFIX}progress:{job_id}"


def stored_input(digest: str) -> str:
    """A hash: `kind`, and `data` (its bytes) or `object` (where they lie in the store of large things)."""
    return f"{PREFIX}input:{digest}"


def card(kept: str) -> str:
    """A string, JSON: the card of a version of a model."""
    return f"{PREFIX}card:{kept}"


def states(place: str) -> str:
    """A string, JSON: the states of the models of workers whose repositories are equal."""
    return f"{PREFIX}states:{place}"


def worker(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def partial(job_id: str) -> str:
    """In the cache Redis: what an unfinished job has gathered, by phase."""
    return f"{PREFIX}partial:{job_id}"


def result(job_id: str) -> str:
    """In the cache Redis: `meta` (JSON), one `a:<name>` (.npy bytes) per array, `objects` (JSON: where others lie)."""
    return f"{PREFIX}result:{job_id}"


def webhook(name: str) -> str:
    """A string, JSON: where a webhook goes, what it tells of, and how often that was tried."""
    return f"{PREFIX}webhook:{name}"


def quota(caller: str) -> str:
    """A hash: the seconds of work that a caller has `saved` in its quota, and when that was (`at`)."""
    return f"{PREFIX}quota:{caller}"
