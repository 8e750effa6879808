"""A session token is believed only when every claim is as we write it, and signed by a key of the venue's own."""

import base64
import json
import uuid
from typing import Any

import jwt
import pytest

from gateway.sign_in.auth import AUDIENCE, SESSION_SECONDS, session_issue, session_of_token
from gateway.sign_in.secret import SecretError, email_digest, owner_of_digest, secrets_of_text
from tests.gateway_doubles import NOW_US, SECRET, VENUE, secrets

KEYS = secrets()
NOW_S = NOW_US // 1_000_000


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; `...` drops one."""
    good = {
        "iss": VENUE,
        "aud": AUDIENCE,
        "sub": "101",
        "jti": str(uuid.UUID(int=5)),
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def token(body: dict[str, Any], kid: Any = None, key: bytes | None = None, algorithm: str = "HS256") -> str:
    """Return a token of the test venue's own key unless told otherwise."""
    name = KEYS.kid_signing() if kid is None else kid
    return jwt.encode(body, KEYS.sessions[KEYS.kid_signing()] if key is None else key, algorithm, {"kid": name})


def test_our_own_token_is_good_until_it_expires() -> None:
    """A token says which account it is for, from its issue to its expiry and not a second longer."""
    session, text = session_issue(KEYS, VENUE, 101, NOW_US)
    assert session_of_token(KEYS, VENUE, text, NOW_US) == session
    assert session_of_token(KEYS, VENUE, text, session.expires_us - 1) == session
    assert session_of_token(KEYS, VENUE, text, session.expires_us) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "othervenue"},
        {"aud": "something else"},
        {"aud": [AUDIENCE]},
        {"iat": NOW_S + 60},
        {"exp": NOW_S},
        {"exp": 10**30},
        {"exp": NOW_S + SESSION_SECONDS + 1},
        {"exp": str(NOW_S + 60)},
        {"exp": float("inf")},
        {"iat": True},
        {"sub": "0x65"},
        {"sub": "-1"},
        {"sub": "１０１"},
        {"sub": "1" * 30},
        {"jti": "not a uuid"},
        *({name: ...} for name in ("iss", "aud", "sub", "jti", "iat", "exp")),
    ],
    ids=str,
)
def test_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    """Whatever claim is missing, foreign or beyond its bounds, the token is worth nothing."""
    assert session_of_token(KEYS, VENUE, token(claims()), NOW_US) is not None
    assert session_of_token(KEYS, VENUE, token(claims(**changes)), NOW_US) is None


def test_other_algorithms_and_keys_are_refused() -> None:
    """Neither `none` in any spelling, nor another HMAC, nor an unknown or strange kid is taken."""
    good = claims()
    for name in ("none", "nOnE", "None"):
        head = {"alg": name, "typ": "JWT", "kid": KEYS.kid_signing()}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, good)]
        assert session_of_token(KEYS, VENUE, ".".join([*parts, ""]), NOW_US) is None
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        long_hash = token(good, algorithm="HS512")
    assert session_of_token(KEYS, VENUE, long_hash, NOW_US) is None
    assert session_of_token(KEYS, VENUE, token(good, key=b"x" * 32), NOW_US) is None
    for kid in ("../../dev/null", "", "unknown"):
        assert session_of_token(KEYS, VENUE, token(good, kid=kid), NOW_US) is None
    for text in ("", "a.b.c", "x" * 5_000, "ü"):
        assert session_of_token(KEYS, VENUE, text, NOW_US) is None


def test_keys_rotate() -> None:
    """A token of the former key holds while its line is in the file, and the owner of an account never changes."""
    new = "7f" * 32
    both = secrets_of_text(f"{new}\n{SECRET}\n", VENUE)
    retired = secrets_of_text(f"{new}\nowner {SECRET}\n", VENUE)
    _session, old_token = session_issue(KEYS, VENUE, 101, NOW_US)
    assert session_of_token(both, VENUE, old_token, NOW_US) is not None
    assert session_of_token(retired, VENUE, old_token, NOW_US) is None
    _session, new_token = session_issue(both, VENUE, 101, NOW_US)
    assert session_of_token(KEYS, VENUE, new_token, NOW_US) is None
    assert KEYS.owner == both.owner == retired.owner
    assert secrets_of_text(SECRET, "anothervenu").owner != KEYS.owner


@pytest.mark.parametrize("text", ["", "\n", "ab" * 31, "zz" * 32, "abc", f"owner {SECRET}", f"key: {SECRET}"])
def test_weak_secrets_stop_the_start(text: str) -> None:
    """Less than 32 bytes, or anything that is not hex, is no secret."""
    with pytest.raises(SecretError):
        secrets_of_text(text, VENUE)


def test_owner_is_a_keyed_digest() -> None:
    """The owner of an account is 32 hex digits that only the venue's key can derive from an address."""
    owner = owner_of_digest(email_digest(KEYS.owner, "ada@example.com"))
    assert len(owner) == 32
    assert int(owner, 16) >= 0
    other = secrets_of_text("00" * 32, VENUE)
    assert owner != owner_of_digest(email_digest(other.owner, "ada@example.com"))
