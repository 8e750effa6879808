"""Signing in by magic link, and out."""

from typing import Any
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway import bodies, pages, schemas
from gateway.calls import Call, json_answer, refuse
from gateway.errors import ERRORS, GatewayCode, Refusal, error_headers
from gateway.limits import LimitName
from gateway.metering import LINK
from gateway.routes.page import files
from gateway.schemas import body_object
from gateway.sign_in.auth import SESSION_SECONDS, Session
from gateway.sign_in.links import SignedIn, address_read
from gateway.sign_in.origins import cross_site_check, other_site_check
from shared.codes import ResultCode
from shared.database import DatabaseError

FORM = "application/x-www-form-urlencoded"
TOKEN_LENGTH_MAX = 128
EMAIL_LENGTH_MAX = 320
LABEL_LENGTH_MAX = 64
FIELDS_MAX = 8
PRESS = "js/press.js"  # presses the only button of a page


async def sign_in_ask(call: Call) -> Response:
    """Take an address and answer 202, whoever it is; the link goes out by mail."""
    call.query()
    cross_site_check(call.gateway.parts.settings, call.request.method, call.request)
    body = body_object(await call.body())
    email = body.pop("email", None)
    schemas.body_read(bodies.SignIn, body | {"email": "-"})
    if email is None:
        raise Refusal(ResultCode.FIELD_MISSING.name, {"field": "email"})
    if not isinstance(email, str):
        raise Refusal(ResultCode.FIELD_TYPE_INVALID.name, {"field": "email", "expected": "text"})
    if len(email) <= EMAIL_LENGTH_MAX:
        address = address_read(email)
        # An unusable address counts too: whether it was usable is nobody's business.
        call.gateway.limits.hit(LimitName.SIGN_IN, address or email.strip().lower())
        if address is not None:
            call.desk.links.ask(address)
    return json_answer(call, {"status": "ACCEPTED"}, 202)


async def verify_get(call: Call) -> Response:
    """
    Consume the link for a program that says so exactly; show everyone else a page that consumes nothing.

    In development the page presses its own button: the link stands in a console that nobody but its user reads. Who
    comes from a page of another site presses it himself.
    """
    token = call.request.query_params.get("token", "")
    if call.request.method == "GET" and call.request.headers.get("accept") == "application/json":
        other_site_check(call.gateway.parts.settings, call.request)  # a GET, but one that acts
        return signed_in_answer(call, await consume(call, token))
    address = ""
    if 0 < len(token) <= TOKEN_LENGTH_MAX:
        try:
            person = await call.desk.links.person(token)
            address = person.email if person else ""
        except (DatabaseError, Refusal):
            address = ""
    headers, script = {"Cache-Control": "no-store"}, ""
    near = call.request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if near and call.gateway.parts.settings.environment == "development":
        script = files(call).newest().address(PRESS)
        headers["Content-Security-Policy"] = pages.CONTENT_SECURITY_POLICY_PRESSED
    return HTMLResponse(pages.verify(token[:TOKEN_LENGTH_MAX], address, script), headers=headers)


async def verify_post(call: Call) -> Response:
    """Consume the link: the page's button, or a program with a JSON body."""
    cross_site_check(call.gateway.parts.settings, call.request.method, call.request)
    data = await call.body()
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        return await verify_form(call, data)
    token = schemas.body_read(bodies.Verify, body_object(data))["token"]
    return signed_in_answer(call, await consume(call, token))


async def verify_form(call: Call, data: bytes) -> Response:
    """Answer the page's button with a page."""
    try:
        token = parse_qs(data.decode("ascii", "replace"), max_num_fields=FIELDS_MAX).get("token", [""])[0]
    except ValueError:
        token = ""  # more fields than the page has
    try:
        signed_in = await consume(call, token)
    except Refusal as refusal:
        row = ERRORS[refusal.code]
        return HTMLResponse(pages.not_signed_in(row.sentence), row.status, error_headers(refusal))
    answer = RedirectResponse("/", 303)
    cookie_set(call, answer, signed_in.token, SESSION_SECONDS)
    return answer


async def sessions_show(call: Call) -> Response:
    """Answer where the account is signed in, the newest first."""
    call.query()
    try:
        rows = await call.desk.sessions.listed(call.caller.account_id)
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    items = [
        {
            "id": row.jti,
            "created_us": row.created_us,
            "expires_us": row.expires_us,
            "label": row.label,
            "current": row.jti == call.caller.name,
        }
        for row in rows
    ]
    return json_answer(call, {"items": items, "next_cursor": None})


async def session_revoke(call: Call) -> Response:
    """Sign the account out in one place; of a session that is not its own it learns nothing."""
    call.query()
    jti = call.request.path_params["session_id"]
    try:
        revoked = await call.desk.sessions.revoke_named(call.caller.account_id, jti)
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    if not revoked:
        raise Refusal(GatewayCode.SESSION_UNKNOWN)
    answer = json_answer(call, {"revoked": True})
    if jti == call.caller.name:
        cookie_set(call, answer, "", 0)
    return answer


async def sign_out(call: Call) -> Response:
    """Revoke the session and clear the cookie; 503 when the revocation could not be written."""
    call.query()
    try:
        await call.desk.sessions.revoke(Session(call.caller.account_id, call.caller.name, call.caller.expires_us))
        answer = json_answer(call, {"status": "SIGNED_OUT"})
    except DatabaseError:
        answer = refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    cookie_set(call, answer, "", 0)
    return answer


async def consume(call: Call, token: str) -> SignedIn:
    """Return the session that a token opens; raises Refusal."""
    if not 0 < len(token) <= TOKEN_LENGTH_MAX:
        raise Refusal(GatewayCode.LINK_INVALID)
    return await call.gateway.parts.meters.caller(LINK, call.desk.links.consume(token, label_of(call)))


def label_of(call: Call) -> str:
    """Return by what its owner may know a session again: what the browser or program calls itself."""
    name = "".join(sign for sign in call.request.headers.get("user-agent", "") if " " <= sign <= "~")
    return name[:LABEL_LENGTH_MAX].strip() or "sign in"


def signed_in_answer(call: Call, signed_in: SignedIn) -> Response:
    """Return the account and the token, for programs, with the cookie for browsers."""
    body: dict[str, Any] = {"account_id": signed_in.session.account_id, "token": signed_in.token}
    answer = json_answer(call, body | {"expires_us": signed_in.session.expires_us})
    cookie_set(call, answer, signed_in.token, SESSION_SECONDS)
    return answer


def cookie_set(call: Call, answer: Response, value: str, age_s: int) -> None:
    """Set the session cookie; `age_s` 0 clears it."""
    answer.set_cookie(
        call.cookie_name(),
        value,
        max_age=age_s,
        path="/",
        secure=call.gateway.parts.settings.environment != "development",
        httponly=True,
        samesite="lax",
    )
