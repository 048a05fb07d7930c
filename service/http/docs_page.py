"""/docs: the OpenAPI document to read and to try, from this host alone.

Swagger UI (Apache-2.0) comes from the package fastapi-offline (MIT), of which nothing is run.
"""

from collections.abc import Mapping
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.http.errors import NotFound
from service.http.negotiation import HTML

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; color: #202024 }
summary { padding: .5rem 0; cursor: pointer } summary code { font-size: 1rem }
details { border-bottom: 1px solid #dddde2 }
details > *:not(summary) { margin-left: 1.2rem } pre { overflow: auto; background: #f4f4f7; padding: .8rem }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0 }
@media (prefers-color-scheme: dark) { body { background: #17171a; color: #ececf0 } pre { background: #242429 } }
"""


FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_START = b"""SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, docExpansion: "list", defaultModelsExpandDepth: 0,
  tryItOutEnabled: true, validatorUrl: null, requestSnippetsEnabled: true, persistAuthorization: false,
  syntaxHighlight: false,
});
"""
_PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Whence: the API</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css"></head><body>
<noscript><p>This page needs JavaScript; <a href="/docs/plain">this one</a> does not.</p></noscript>
<div id="swagger-ui"></div><footer><small>Swagger UI, Apache-2.0.
<a href="/docs/plain">Without scripts</a></small></footer>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""


@router.get("/docs")
async def docs() -> Response:
    return Response(_PAGE, media_type=HTML, headers={"content-security-policy": CONTENT})


@router.get("/docs/plain")
async def plain(request: Request) -> Response:
    return Response(docs_page(request.app.openapi()), media_type=HTML)


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """Of Swagger UI, or what starts it; raises NotFound."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in FILES:
        raise NotFound("there is no such file of /docs")
    content = await to_thread.run_sync((_static() / name).read_bytes)
    return Response(content, headers={"cache-control": "public, max-age=86400"}, media_type=FILES[name])


def _static() -> Path:
    """Where the package lies, which is not imported for it."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"


def docs_page(document: Mapping[str, Any]) -> str:
    """Every operation with its parameters, bodies and answers, then every schema."""
    info = document["info"]
    operations = [
        _operation(verb, path, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    ]
    schemas = [_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}: the API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        f'<a href="/openapi.json">openapi.json</a></p><h2>Requests</h2>{"".join(operations)}'
        f"<h2>Documents</h2>{''.join(schemas)}</body></html>"
    )


def _operation(verb: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{p['in']}</td><td>{escape(_about(p))}</td></tr>"
        for p in operation.get("parameters", ())
    )
    bodies = ", ".join(operation.get("requestBody", {}).get("content", {}))
    answers = "".join(
        f"<tr><td>{code}</td><td>{escape(answer['description'])}</td><td>{escape(', '.join(answer.get('content', {})))}"
        "</td></tr>"
        for code, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><code>{verb.upper()} {escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + (f"<p>Bodies: {escape(bodies)}</p>" if bodies else "")
        + f"<table>{answers}</table></details>"
    )


def _about(parameter: Mapping[str, Any]) -> str:
    default = parameter["schema"].get("default")
    told = parameter.get("description") or parameter["schema"].get("description", "")
    return f"{told} Default: {default}." if default is not None else told


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    source = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    told = escape(schema.get("description", ""))
    return f"<details><summary><code>{escape(name)}</code> {told}</summary><pre>{escape(source)}</pre></details>"
