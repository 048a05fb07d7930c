"""Errors as problem+json (RFC 9457): one table from codes to statuses, and the functions that answer with them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from service.http.errors import (
    AllSeen,
    Failed,
    Invalid,
    NotFound,
    QueueFull,
    StillRunning,
)
from service.http.pointers import pointers
from workers.contract import ExplainError, no_room

MEDIA_TYPE = "application/problem+json"
NO_PATH = "there is no such path; /docs lists those there are"
RETRY_SECONDS = 2
CLIENT_GONE = 499  # as nginx logs it

log = structlog.get_logger()


class Kind(NamedTuple):
    """What a code means over HTTP: its status, and a title that is the same for every occurrence."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "malformed_body": Kind(400, "The body could not be read"),
    "host_unknown": Kind(400, "The Host header names another server"),
    "key_required": Kind(401, "An API key is needed"),
    "scope_missing": Kind(403, "The API key may not do this"),
    "not_found": Kind(404, "There is nothing here"),
    "method_not_allowed": Kind(405, "The HTTP method is not allowed here"),
    "not_acceptable": Kind(406, "None of the accepted media types can be given"),
    "request_timeout": Kind(408, "The body did not arrive in time"),
    "not_finished": Kind(409, "The explanation is not finished"),
    "already_finished": Kind(409, "The explanation is finished already"),
    "uploads_off": Kind(403, "Models are not taken here"),
    "model_placed": Kind(409, "The model is the operator's own"),
    "dataset_placed": Kind(409, "The dataset is the operator's own"),
    "cancelled": Kind(409, "The explanation was cancelled"),
    "result_expired": Kind(410, "The result has expired"),
    "input_too_large": Kind(413, "The input is too large"),
    "unsupported_media_type": Kind(415, "The media type is not supported"),
    "head_too_large": Kind(431, "The address and the headers are too large"),
    "invalid_request": Kind(422, "The request is not valid"),
    "invalid_image": Kind(422, "The input is no readable image"),
    "invalid_tensor": Kind(422, "The input is no tensor that the model takes"),
    "invalid_text": Kind(422, "The input is no text that the model takes"),
    "unknown_input": Kind(422, "The input is not stored here"),
    "unknown_method": Kind(422, "There is no such method"),
    "unknown_model": Kind(422, "There is no such model"),
    "invalid_parameter": Kind(422, "A parameter is not valid"),
    "model_refused": Kind(422, "The model cannot be served"),
    "unknown_dataset": Kind(422, "There is no such dataset"),
    "invalid_dataset": Kind(422, "The dataset cannot be read or taken"),
    "invalid_target": Kind(422, "The target is not valid"),
    "too_costly": Kind(422, "The explanation would cost too much"),
    "method_not_applicable": Kind(422, "The method cannot explain this model"),
    "not_finite": Kind(422, "The attribution is not finite"),
    "explain_error": Kind(500, "The explanation failed"),
    "work_failed": Kind(500, "The explanation failed"),
    "out_of_memory": Kind(500, "The work does not fit the device"),
    "worker_crashed": Kind(500, "Workers died on this explanation"),
    "invalid_model": Kind(500, "The model's folder is wrong"),
    "invalid_model_folder": Kind(500, "The model's folder is wrong"),
    "pickled_payload": Kind(500, "The model's archive is refused"),
    "internal_error": Kind(500, "Something went wrong on our side"),
    "storage_full": Kind(507, "There is no room on the server's disk"),
    "deadline_exceeded": Kind(503, "The work could not start before its deadline"),
    "predictor_error": Kind(502, "The model's predictor does not answer as it should"),
    "predictor_failed": Kind(502, "The model's predictor does not answer as it should"),
    "predictor_unavailable": Kind(503, "The model's predictor gives no answer"),
    "predictor_changed": Kind(503, "The model's predictor serves another model now"),
    "predictor_away": Kind(503, "The model's predictor does not say what it serves"),
    "still_running": Kind(503, "The explanation takes longer than this call waits"),
    "revision_not_served": Kind(503, "The API and the workers are of different versions"),
    "model_not_served": Kind(503, "The version of the model is served no more"),
    "model_loading": Kind(503, "The model is loading"),
    "queue_unavailable": Kind(503, "The queue cannot be reached"),
    "model_failed": Kind(503, "The model cannot be served"),
    "result_store_full": Kind(503, "There is no room for the result"),
    "result_store_unavailable": Kind(503, "The result could not be stored"),
    "no_worker": Kind(503, "No worker is ready"),
    "queue_full": Kind(503, "The queue is full"),
    "quota_exceeded": Kind(429, "Too much work of this caller waits"),
}

_HTTP_CODES: Mapping[int, str] = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "input_too_large",
    415: "unsupported_media_type",
}


def problem(
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    alternatives: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A problem document; an unknown code is an internal error. `alternatives` are parts of a request that work."""
    kind = KINDS.get(code, KINDS["internal_error"])
    document: dict[str, Any] = {
        "type": f"urn:whence:problem:{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": code,
    }
    if errors or kind.status == 422:
        document["errors"] = list(errors)
    if alternatives:
        document["alternatives"] = list(alternatives)
    return document


class ProblemResponse(Response):
    """A problem document; the scope of the request then has its code, for who counts them."""

    def __init__(self, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(orjson.dumps(document), document["status"], headers, MEDIA_TYPE)
        self.code = document["code"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["problem"] = self.code
        await super().__call__(scope, receive, send)


def problem_response(
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    alternatives: Sequence[Mapping[str, Any]] = (),
) -> Response:
    document = problem(code, detail, errors, alternatives)
    extra = {"retry-after": str(RETRY_SECONDS)} if document["status"] == 503 or code == "not_finished" else {}
    return ProblemResponse(document, {"cache-control": "no-store", **extra, **(headers or {})})


async def on_explain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ExplainError)
    if isinstance(error, Invalid):
        return problem_response(error.code, error.detail, error.errors)
    errors = [{"pointer": error.pointer, "detail": error.detail}] if error.pointer is not None else []
    headers = {"location": error.location} if isinstance(error, StillRunning) else {}
    if isinstance(error, QueueFull):
        headers["retry-after"] = str(error.retry_after)
    code = error.stored if isinstance(error, Failed) else error.code
    return problem_response(code, error.detail, errors, headers, error.alternatives)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """FastAPI's own report of wrong parameters; a path with a wrong part in it names nothing."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"][0] == "path" for one in found):
        return problem_response(NotFound.code, NO_PATH)
    without = [{**one, "loc": one["loc"][1:]} for one in found]
    errors = pointers(without, raw=dict(request.query_params), kind=_query(request))
    return problem_response("invalid_parameter", errors[0]["detail"], errors)


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, headers = _HTTP_CODES.get(error.status_code, "internal_error"), error.headers
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = NO_PATH
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        taken = _taken(request)
        detail, headers = f"this path takes {taken}", {"allow": taken}
    else:
        detail = HTTPStatus(error.status_code).phrase.lower()
    return problem_response(code, detail, headers=headers)


async def on_os_error(_: Request, error: Exception) -> Response:
    """A full disk is the operator's to mend, and for a client no reason to ask again at once."""
    assert isinstance(error, OSError)
    if not no_room(error):
        raise error
    log.error("a disk is full", path=error.filename)
    detail = "there is no room on the server's disk for what was sent; whoever runs this Whence can make some"
    return problem_response("storage_full", detail)


async def on_disconnect(_: Request, __: Exception) -> Response:
    """For the log alone: nobody gets it."""
    return Response(status_code=CLIENT_GONE)


async def on_all_seen(_: Request, __: Exception) -> Response:
    """204 is what tells an EventSource not to connect again."""
    return Response(status_code=204)


def _query(request: Request) -> type[BaseModel] | None:
    """What a route reads its query as, where that is one model."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    kinds = [one.field_info.annotation for one in (dependant.query_params if dependant else ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _taken(request: Request) -> str:
    """The methods of all routes on this path; Starlette itself names those of the first alone."""
    routes: Sequence[BaseRoute] = request.app.routes
    scopes = ({**request.scope, "method": method} for method in ("DELETE", "GET", "POST", "PUT"))
    taken = [one["method"] for one in scopes if any(route.matches(one)[0] is Match.FULL for route in routes)]
    return ", ".join(name for method in taken for name in ((method, "HEAD") if method == "GET" else (method,)))


ANSWERS: dict[int | type[Exception], Any] = {
    ExplainError: on_explain_error,
    RequestValidationError: on_validation_error,
    HTTPException: on_http_error,
    ClientDisconnect: on_disconnect,
    OSError: on_os_error,
    AllSeen: on_all_seen,
}
