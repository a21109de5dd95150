"""The page's own server: a page, its scripts, and answers as JSON, behind a token."""

from __future__ import annotations

import gzip
import hmac
import json
import mimetypes
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from agent_memory.errors import EntryNotFound, MemoryStoreError, StoreUnavailable
from agent_memory.explorer.answers import Answers, Asked
from agent_memory.system.pictures.scripts import asset, vega_script

HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
"""The names under which the page answers; another one may be a foreign page's that leads here."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "connect-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TOGETHER = {
    "explorer.js": (("draw.js",), ("views.js", "explorer.js")),
    "explorer.css": (("page.css",), ("explorer.css",)),
}
"""What is given as one file: of the report's assets, and of the page's own."""
_ANSWERS = (
    *(
        "overview",
        "agents",
        "occupancy",
        "life",
        "lines",
        "moment",
        "world",
        "ask",
        "compare",
        "memory",
    ),
    *("steps", "live", "growth", "fidelity", "check"),
)
_REFUSED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Not let in</title>
</head><body><main><h1>This address has the wrong token</h1>
<p>Use the whole address that <code>agent-memory explore</code> printed when it started; each start
has a token of its own.</p></main></body></html>"""


def application(answers: Answers, token: str) -> Starlette:
    """The server of the page.

    Args:
        answers: What answers it.
        token: What the address has to begin with.
    """
    named: dict[str, Callable[[Asked], Any]] = {name: getattr(answers, name) for name in _ANSWERS}

    def guarded(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def checked(request: Request) -> Response:
            given = str(request.path_params.get("token", ""))
            is_let_in = hmac.compare_digest(given.encode(), token.encode())
            response = answer(request) if is_let_in else HTMLResponse(_REFUSED, 401)
            response.headers.update({**_HEADERS, **response.headers})
            return response

        return checked

    def api(request: Request) -> Response:
        answer = named.get(request.path_params["name"])
        if answer is None:
            return JSONResponse({"error": "there is no such question"}, 404)
        return _answered(answer, request)

    return Starlette(
        routes=[
            Route("/{token}/", guarded(lambda _: HTMLResponse(_own("index.html")))),
            Route("/{token}/assets/{name}", guarded(_script)),
            Route("/{token}/api/{name}", guarded(api)),
            Route("/{token}/report.html", guarded(lambda request: _report(answers, request))),
            Route("/{rest:path}", guarded(lambda _: Response("there is no such page", 404))),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS)),
            Middleware(GZipMiddleware, minimum_size=10_000, compresslevel=1),
        ],
    )


def _script(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "vega.js":
        return _vega("gzip" in request.headers.get("accept-encoding", ""))
    if name not in _TOGETHER:
        return Response("there is no such file", 404)
    return Response(_together(name), media_type=mimetypes.guess_type(name)[0])


def _vega(is_packed: bool) -> Response:
    """Vega, which is the same as long as the page is served: a browser may keep it."""
    headers = {"Cache-Control": "private, max-age=86400", "Vary": "Accept-Encoding"}
    if not is_packed:
        return Response(vega_script(), media_type="text/javascript", headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(_packed_vega(), media_type="text/javascript", headers=headers)


@cache
def _packed_vega() -> bytes:
    return gzip.compress(vega_script().encode(), 6)


@cache
def _together(name: str) -> str:
    shared, own = _TOGETHER[name]
    return "\n".join([*map(asset, shared), *map(_own, own)])


@cache
def _own(name: str) -> str:
    return (files("agent_memory.explorer") / "assets" / name).read_text(encoding="utf-8")


def _answered(answer: Callable[[Asked], Any], request: Request) -> Response:
    try:
        found = answer(dict(request.query_params))
    except MemoryStoreError as error:
        return _problem(error)
    except KeyError as error:
        return JSONResponse({"error": f"the question lacks {error}"}, 400)
    except ValueError as error:
        return JSONResponse({"error": str(error)}, 400)
    text = json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), media_type="application/json")


def _report(answers: Answers, request: Request) -> Response:
    try:
        text = answers.report(dict(request.query_params))
    except MemoryStoreError as error:
        return _problem(error)
    headers = {"Content-Disposition": 'attachment; filename="report.html"'}
    return HTMLResponse(text, headers=headers)


def _problem(error: MemoryStoreError) -> Response:
    status = 400
    if isinstance(error, EntryNotFound):
        status = 404
    elif isinstance(error, StoreUnavailable):
        status = 503
    return JSONResponse({"error": " ".join(str(error).split())}, status)
