"""The connection to a server that predicts: kept, bounded in time, and tried again where the server asks for it."""

from __future__ import annotations

import codecs
import email.utils
import random
import re
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import orjson
import structlog

from workers.explanation.errors import Cancelled, PredictorFailed, PredictorUnavailable

AGAIN = frozenset({429, 502, 503, 504})
FIRST_S, LONGEST_S = 0.2, 5.0  # a pause doubles from one to the other
MOST_WAIT_S = 60.0  # that a server may ask for by Retry-After
MOST_BYTES = 256 * 2**20  # of an answer
MOST_ERROR = 2**16  # of one that says what went wrong
SAID = 300  # characters of a server's own words
GRACE_S = 0.5  # that httpx's own limits have to tell of it first
DOWN_S = 3.0  # for so long after it was given up nobody else waits for it
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+|\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\[[0-9a-f:]+\](:\d+)?", re.I)
_NOT_FINITE = re.compile(rb"[\[,:]\s*-?(NaN|Infinity)\b")

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """What came back: a body, its type and headers."""

    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """Raises PredictorFailed for what is no JSON."""
        try:
            return orjson.loads(self.body.removeprefix(codecs.BOM_UTF8))
        except orjson.JSONDecodeError:
            found = "holds NaN or infinity" if _NOT_FINITE.search(self.body) else "is no JSON"
            if "html" in self.headers.get("content-type", ""):
                found = "is a page of HTML, as a login or a proxy has it, and no JSON"
            raise PredictorFailed(f"the predictor's answer {found}") from None


@dataclass
class Connection:
    """Requests to one server; safe for threads.

    `model` is what errors call it, `headers` hold what no error may tell. At most `requests` connections are kept.
    """

    model: str
    address: str
    headers: Mapping[str, str]
    timeout: float
    retries: int
    requests: int
    _client: httpx.Client = field(init=False)
    _down: tuple[float, str] = (0.0, "")
    _until: dict[int, float] = field(default_factory=dict)  # by thread, when its request must have been answered

    def __post_init__(self) -> None:
        self._open()

    def _open(self) -> None:
        limits = httpx.Limits(max_connections=self.requests, max_keepalive_connections=self.requests)
        trusted = httpx.create_ssl_context()  # those of SSL_CERT_FILE, else the public authorities
        self._client = httpx.Client(
            timeout=self.timeout, limits=limits, headers=dict(self.headers), trust_env=False, verify=trusted
        )
        weakref.finalize(self, self._client.close)  # a model may leave memory at any time

    def get(self, address: str) -> Answer:
        """One GET, tried once."""
        return self._checked(self._once("GET", address, b"", {}))

    def post(self, address: str, body: bytes, headers: Mapping[str, str], stop: threading.Event) -> Answer:
        """A POST, tried again with pauses; PredictorUnavailable when it is given up, PredictorFailed for a refusal.

        `stop` ends the pauses, and what waits in them with Cancelled.
        """
        until, why = self._down
        if time.monotonic() < until:
            raise PredictorUnavailable(why)
        for attempt in range(self.retries + 1):
            try:
                answer = self._once("POST", address, body, headers)
            except PredictorUnavailable as error:
                if attempt == self.retries or error.slow:
                    self._give_up(error.detail)
                pause = _pause(attempt)
            else:
                if answer.status_code not in AGAIN:
                    return self._checked(answer)
                asked = _retry_after(answer.headers)
                if attempt == self.retries or (asked or 0) > MOST_WAIT_S:
                    self._give_up(self._refusal(answer))
                pause = _pause(attempt) if asked is None else asked
            if stop.wait(pause):
                raise Cancelled("the work was stopped")
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        self._client.close()

    def break_off(self) -> None:
        """End what is past its time, whatever still comes: httpx bounds the wait for each part, not that for all."""
        now = time.monotonic()
        if any(until + GRACE_S < now for until in list(self._until.values())):
            late = self._client
            self._open()
            late.close()

    def _give_up(self, detail: str) -> NoReturn:
        self._down = time.monotonic() + DOWN_S, detail
        log.warning("a predictor is given up for now", model=self.model, reason=detail)
        raise PredictorUnavailable(detail)

    def _once(self, method: str, address: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The whole answer; raises PredictorUnavailable where there is none, PredictorFailed where it is too long."""
        who, end = f"the predictor of {self.model}", time.monotonic() + self.timeout
        late = PredictorUnavailable(f"{who} took longer than {self.timeout:g} s to answer", slow=True)
        self._until[threading.get_ident()] = end
        try:
            with self._client.stream(method, address, content=body, headers=dict(headers)) as response:
                found = bytearray()
                for part in response.iter_bytes():
                    found += part
                    if len(found) > MOST_BYTES:
                        raise PredictorFailed(f"{who} answered with more than {MOST_BYTES} bytes")
                    if time.monotonic() > end:
                        raise late
                return httpx.Response(response.status_code, headers=response.headers, content=_plain(found, response))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise PredictorUnavailable(f"{who} {_unreached(str(error))}") from None
        except httpx.TimeoutException:
            raise late from None
        except httpx.DecodingError:
            raise PredictorFailed(f"{who} answered with a body that cannot be decompressed") from None
        # the last of a client that another's lateness closed
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, RuntimeError):
            if time.monotonic() > end:
                raise late from None
            raise PredictorUnavailable(f"the connection to {who} broke off") from None
        finally:
            self._until.pop(threading.get_ident(), None)

    def _checked(self, answer: httpx.Response) -> Answer:
        if not answer.is_success:
            raise PredictorFailed(self._refusal(answer), refused=answer.is_client_error)
        if _is_error(answer.content):
            raise PredictorFailed(self._refusal(answer))
        return Answer(answer.content, answer.headers)

    def _refusal(self, answer: httpx.Response) -> str:
        who, status = f"the predictor of {self.model}", answer.status_code
        if answer.is_redirect:
            return (
                f"{who} answers with a redirect ({status}), which is not followed; its card should name the new address"
            )
        said = self.hidden(_words(answer))
        return f"{who} answers {status}" + (f": {said}" if said else "")

    def hidden(self, text: str) -> str:
        """The text in one line, cut, without addresses and without anything that the headers hold."""
        parts = urlsplit(self.address)
        if "Traceback (most recent call last)" in text:
            text = text.strip().splitlines()[-1]  # what went wrong, and not where
        text = " ".join(text.split())
        values = [word for value in self.headers.values() for word in (value, value.removeprefix("Bearer ").strip())]
        for secret in sorted({one for one in values if one}, key=len, reverse=True):
            text = text.replace(secret, "…")
        text = _ADDRESS.sub("…", text)
        for place in (parts.netloc, parts.hostname or ""):
            text = re.sub(rf"(?<![\w.-]){re.escape(place)}(?![\w-])", "…", text, flags=re.I) if place else text
        return text if len(text) <= SAID else text[: SAID - 1] + "…"


def _unreached(why: str) -> str:
    """Why there is no connection, as far as an operator can do something about it."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        reason = why.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return (
            f"has a certificate that is not trusted ({reason}); SSL_CERT_FILE in the worker's environment names a file "
            "with that of the authority that signed it"
        )
    if "[SSL" in why:
        return "speaks no TLS there; its address may begin with http: instead"
    return "cannot be reached"


def _plain(found: bytearray, response: httpx.Response) -> bytes:
    """The body, decompressed by httpx already: the copy must not try again."""
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        response.headers.pop(name, None)
    return bytes(found)


def _pause(attempt: int) -> float:
    """With jitter, so that requests that failed together do not come again together."""
    return float(min(LONGEST_S, FIRST_S * 2**attempt) * random.uniform(0.5, 1.0))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of the header (RFC 9110 10.2.3)."""
    raw = headers.get("retry-after", "").strip()
    if raw.isdigit():
        return float(raw[:9])
    try:
        at = email.utils.parsedate_to_datetime(raw)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _is_error(body: bytes) -> bool:
    """Whether it says that something went wrong, whatever the status is, and nothing besides."""
    if len(body) > MOST_ERROR or not body.lstrip().startswith(b"{"):
        return False
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    said = told.get("error") or (told.keys() & {"code", "error_code"} and told.get("message"))
    return isinstance(said, str | Mapping) and not told.keys() & {"predictions", "outputs"}


def _words(answer: httpx.Response) -> str:
    """What a server says of its error, in any of the forms that such servers use."""
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        text = answer.text if "html" not in answer.headers.get("content-type", "") else ""
        return text.strip()
    while isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, Mapping):
        body = next((body[key] for key in ("error", "message", "detail", "error_code", "title") if body.get(key)), "")
        return _words_of(body)
    return body if isinstance(body, str) else ""


def _words_of(body: Any) -> str:
    if isinstance(body, Mapping):
        return str(body.get("message") or body.get("detail") or "")
    return body if isinstance(body, str) else orjson.dumps(body).decode()
