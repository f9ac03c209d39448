"""Knows how one comes in and leaves: a key once, then a cookie; and that forms are our own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.responses import HTMLResponse

from scan_service.door.passing import enter, noted
from scan_service.errors import (
    ForbiddenError,
    InvalidRequestError,
    RateLimitError,
    UnauthorizedError,
)
from scan_service.guard import auth, sessions
from scan_service.web import looks
from scan_service.web.visits import go

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from scan_service.door.service import Service
    from scan_service.settings import Settings

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_FORM = "application/x-www-form-urlencoded"
_LARGEST_FORM = 256 * 1024
_MOST_FIELDS = 3000
_LONGEST_COOKIE = 100


async def door(service: Service, request: Request) -> Response:
    """GET and POST /sign-in."""
    if request.method != "POST":
        return _shown(request.query_params.get("next", ""))
    form = await own_form(service.settings, request)
    following = (form.get("next") or [""])[0]
    try:
        caller = await enter(service, request, auth.hashed((form.get("key") or [""])[0]))
    except UnauthorizedError:
        problem = "This key is not valid: it is mistyped, expired or revoked."
        return _shown(following, problem, status=401)
    except RateLimitError as error:
        return _shown(following, error.message, status=error.status)
    return await noted(
        service, f"POST {SIGN_IN}", request, caller,
        lambda: _come_in(service, request, caller, following),
    )  # fmt: skip


async def _come_in(
    service: Service, request: Request, caller: auth.Caller, following: str
) -> Response:
    token = await sessions.begin(service.db, caller, hours=service.settings.session_hours)
    response = go(_own_path(following))
    secure = _is_secure(service.settings, request)
    response.set_cookie(
        _cookie(secure=secure), token, path="/", httponly=True, samesite="strict", secure=secure,
        max_age=int(service.settings.session_hours * 3600),
    )  # fmt: skip
    return response


async def leave(service: Service, request: Request) -> Response:
    """POST /sign-out: the session ends, not only this browser's cookie."""
    await own_form(service.settings, request)
    session = session_in(service.settings, request)
    try:
        async with service.db.on_behalf(session.hex()) as connection:
            caller = await sessions.authenticate(connection, session)
    except UnauthorizedError:
        return await _go_out(service, request, session)
    return await noted(
        service, f"POST {SIGN_OUT}", request, caller, lambda: _go_out(service, request, session)
    )


async def _go_out(service: Service, request: Request, session: bytes) -> Response:
    await sessions.end(service.db, session)
    response = go(SIGN_IN)
    drop_cookie(service.settings, request, response)
    return response


def session_in(settings: Settings, request: Request) -> bytes:
    """Return the hash of the session that a browser presents.

    Raises:
        UnauthorizedError: it presents none that could be one.
    """
    token = request.cookies.get(_cookie(secure=_is_secure(settings, request)), "")
    if not 0 < len(token) <= _LONGEST_COOKIE:
        raise UnauthorizedError
    return sessions.hashed(token)


def drop_cookie(settings: Settings, request: Request, response: Response) -> None:
    """Let the browser forget its session."""
    secure = _is_secure(settings, request)
    response.delete_cookie(
        _cookie(secure=secure), path="/", httponly=True, samesite="strict", secure=secure
    )


async def own_form(settings: Settings, request: Request) -> dict[str, list[str]]:
    """Return the fields of a form that one of our own pages has sent.

    Raises:
        ForbiddenError: another site's page sent it.
        InvalidRequestError: it is no form, or larger than any of ours.
    """
    if not _is_own(settings, request):
        raise ForbiddenError("This form was not sent by a page of this service")
    kind = request.headers.get("Content-Type", _FORM).partition(";")[0].strip().lower()
    if kind != _FORM:
        raise InvalidRequestError("A form was expected", status=415)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            raise InvalidRequestError("The form is too large", status=413)
    try:
        return parse_qs(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS,
            errors="strict",
        )  # fmt: skip
    except ValueError:
        raise InvalidRequestError("The form cannot be read") from None


def _is_own(settings: Settings, request: Request) -> bool:
    """Tell whether a page of this service sends a form.

    Browsers tell that themselves where the connection is trustworthy, and else the page's origin.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin", "")
    own = f"{request.url.scheme}://{request.headers.get('Host', '')}"
    return origin in (own, settings.public_url)


def _is_secure(settings: Settings, request: Request) -> bool:
    """Tell whether browsers reach this service by HTTPS, maybe by way of a proxy."""
    return request.url.scheme == "https" or (settings.public_url or "").startswith("https://")


def _cookie(*, secure: bool) -> str:
    # Of a name with this prefix browsers know that no other host may have set it.
    return "__Host-scans" if secure else "scans"


def _own_path(text: str) -> str:
    """Return where to go after signing in: a path of ours, never another site."""
    parts = urlsplit(text)
    plain = text.isprintable() and "\\" not in text and not text.startswith("//")
    return text if text.startswith("/") and plain and not (parts.scheme or parts.netloc) else "/"


def _shown(following: str, problem: str = "", *, status: int = 200) -> Response:
    text = looks.render("sign_in.html", visit=None, tenant=None, next=following, problem=problem)
    return HTMLResponse(text, status_code=status)
