"""The names of everything that Whence keeps in Redis; `scripts/common.lua` knows the same names."""

PREFIX = "whence:"
EVENTS = PREFIX + "events"  # pub/sub channel: "<id> <what happened>"
OPEN = PREFIX + "open"  # sorted set: unfinished ids by creation time
GROUPS = PREFIX + "groups"  # sorted set: groups with waiting work by the time their doorbell last rang
CARDS = PREFIX + "cards"  # set: names of published model cards
WORKERS = PREFIX + "workers"  # set: ids of workers that have sent a heartbeat
RECONCILER = PREFIX + "reconciler"  # string: which worker reconciles now

INPUT_TTL_S = 3600
RECORD_TTL_S = 14 * 86400  # of finished jobs
INTERACTIVE, BATCH = "interactive", "batch"  # the Celery queues that doorbells ring in


def job(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}"


def lease(job_id: str) -> str:
    return f"{PREFIX}lease:{job_id}"


def waiting(group: str) -> str:
    return f"{PREFIX}waiting:{group}"


def progress(job_id: str) -> str:
    return f"{PREFIX}progress:{job_id}"


def stored_input(digest: str) -> str:
    return f"{PREFIX}input:{digest}"


def card(name: str) -> str:
    return f"{PREFIX}card:{name}"


def worker(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def partial(job_id: str) -> str:
    """In the cache Redis: what an unfinished job has gathered, by phase."""
    return f"{PREFIX}partial:{job_id}"


def result(job_id: str) -> str:
    """In the cache Redis: `meta` (JSON) and one `a:<name>` (.npy bytes) per array."""
    return f"{PREFIX}result:{job_id}"
