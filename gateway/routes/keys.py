"""Keys of programs: registering the public half, listing, ending, and putting a new one in an old one's place."""

import base64
from typing import Any

from starlette.responses import Response

from gateway import bodies, schemas
from gateway.calls import Call, json_answer, refuse
from gateway.errors import GatewayCode, Refusal
from gateway.shapes import INTEGER_MAX
from gateway.sign_in.keys import LIFETIME_DEFAULT_US, OVERLAP_DEFAULT_S, OVERLAP_MAX_S, KeyRow
from gateway.sign_in.signatures import public_key_read
from shared.database import DatabaseError

INTEGERS = ("expires_ms", "overlap_s")


async def key_create(call: Call) -> Response:
    """Register a key of the account that the caller acts for; a sub-account's key acts for that one alone."""
    call.query()
    fields = fields_read(bodies.KeyCreate, await call.body())
    now_us = call.gateway.parts.now_us()
    expires_us = fields["expires_ms"] * 1_000 if "expires_ms" in fields else now_us + LIFETIME_DEFAULT_US
    try:
        key = await call.desk.api_keys.create(
            call.account_id,
            public_key_of(fields["public_key"]),
            tuple(fields["scopes"]),
            fields.get("label", ""),
            expires_us,
        )
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    key_log(call, "api_key_made", key.key_id)
    return json_answer(call, key_body(key), 201)


async def keys_show(call: Call) -> Response:
    """Answer the live keys of the account, the newest first."""
    call.query()
    try:
        rows = await call.desk.api_keys.listed(call.account_id)
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    return json_answer(call, {"items": [key_body(row) for row in rows], "next_cursor": None})


async def key_revoke(call: Call) -> Response:
    """End a key of the account; 503 when that could not be written."""
    call.query()
    key_id = call.request.path_params["key_id"]
    try:
        revoked = await call.desk.api_keys.revoke(call.account_id, key_id)
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    if not revoked:
        raise Refusal(GatewayCode.KEY_UNKNOWN)
    key_log(call, "api_key_revoked", key_id)
    return json_answer(call, {"revoked": True})


async def key_rotate(call: Call) -> Response:
    """Register the key that takes another's place; the old one runs out after the overlap."""
    call.query()
    fields = fields_read(bodies.KeyRotate, await call.body())
    overlap_s = fields.get("overlap_s", OVERLAP_DEFAULT_S)
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise Refusal(GatewayCode.KEY_INVALID, {"field": "overlap_s", "max": OVERLAP_MAX_S})
    public_key = public_key_of(fields["public_key"])
    key_id = call.request.path_params["key_id"]
    try:
        key = await call.desk.api_keys.rotate(call.account_id, key_id, public_key, overlap_s)
    except DatabaseError:
        return refuse(call, Refusal(GatewayCode.SIGN_IN_UNAVAILABLE))
    key_log(call, "api_key_rotated", key.key_id)
    return json_answer(call, key_body(key), 201)


def fields_read(schema: type[bodies.Body], data: bytes) -> dict[str, Any]:
    """Return the fields of a body; raises Refusal, for a number that no time can be too."""
    body = schemas.body_object(data)
    for name in INTEGERS:
        if type(body.get(name)) is int and abs(body[name]) > INTEGER_MAX // 1_000:
            raise Refusal(GatewayCode.KEY_INVALID, {"field": name})
    return schemas.body_read(schema, body)


def public_key_of(text: str) -> bytes:
    """Return the public key in a body; raises Refusal."""
    public_key = public_key_read(text)
    if public_key is None:
        raise Refusal(GatewayCode.KEY_INVALID, {"field": "public_key", "expected": "32 bytes of Ed25519 in base64"})
    return public_key


def key_body(key: KeyRow) -> dict[str, Any]:
    """Return a key as its owner sees it."""
    body = {
        "key_id": key.key_id,
        "public_key": base64.b64encode(key.public_key).decode(),
        "scopes": list(key.scopes),
        "label": key.label,
        "created_us": key.created_us,
        "expires_us": key.expires_us,
    }
    return body | ({"rotated_to": key.rotated_to} if key.rotated_to is not None else {})


def key_log(call: Call, event: str, key_id: str) -> None:
    """Note what became of a key; its id signs nothing."""
    call.gateway.parts.log.info(event, account=call.account_id, key=key_id, request_id=call.request_id)
