"""
Keys of programs: the rows of their public halves, and whether a signed request may pass.

A key proves nothing by itself as a session's token does: its row is needed. One that was looked at before holds while
Postgres is away, until it expires; one that was not is 503.
"""

import hashlib
import hmac
import secrets as chance
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from gateway.errors import GatewayCode, Refusal
from gateway.shapes import SCOPES
from gateway.sign_in.remembered import CACHE_S, Known, Remembered, Row
from gateway.sign_in.revocations import AT_ONCE_US, Revocations, fenced
from gateway.sign_in.secret import Secrets
from gateway.sign_in.signatures import Signed, Subject, in_window, signing_text, verifies
from shared.database import Database

READ, TRADE = SCOPES
DAY_US = 86_400_000_000
LIFETIME_DEFAULT_US = 90 * DAY_US
LIFETIME_MAX_US = 365 * DAY_US
KEYS_MAX = 20  # live ones an account
ROTATED_MAX = 20  # besides these, former ones that have not run out yet
OVERLAP_DEFAULT_S = 3_600
OVERLAP_MAX_S = 86_400
_CHANCE_BYTES = 8
_MARK_BYTES = 8
# A key that nobody holds: its half is what a signature is compared with when the key is unknown.
_NOBODY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")

KEYS_LOOK = (
    "SELECT key_id, account_id, public_key, scopes, created_us, expires_us, revoked_us FROM api_keys"
    " WHERE key_id = ANY($1) AND venue = $2"
)
KEYS_SELECT = (
    "SELECT key_id, public_key, scopes, label, created_us, expires_us, rotated_to FROM api_keys"
    " WHERE venue = $1 AND account_id = $2 AND revoked_us IS NULL AND expires_us > $3"
    " ORDER BY created_us DESC, key_id"
)
# Held to the end of the transaction, so that two at once cannot both take the last place.
KEYS_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
KEY_INSERT = (
    "INSERT INTO api_keys (key_id, venue, account_id, public_key, scopes, label, created_us, expires_us)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)
KEY_ROTATED = "UPDATE api_keys SET rotated_to = $3, expires_us = $4 WHERE key_id = $1 AND venue = $2"
KEY_REVOKE = (
    "UPDATE api_keys SET revoked_us = $4"
    " WHERE key_id = $1 AND venue = $2 AND account_id = $3 AND revoked_us IS NULL AND expires_us > $4"
    " RETURNING expires_us"
)


class KeyRow(NamedTuple):
    """One key as its owner sees it."""

    key_id: str
    public_key: bytes
    scopes: tuple[str, ...]
    label: str
    created_us: int
    expires_us: int
    rotated_to: str | None = None


class KeyHeld(NamedTuple):
    """A key that signed a request which may pass."""

    account_id: int
    key_id: str
    expires_us: int
    scopes: frozenset[str]


def scopes_text(scopes: tuple[str, ...]) -> str:
    """Return scopes as the row holds them: in one order, with one space between."""
    return " ".join(scope for scope in SCOPES if scope in scopes)


class ApiKeys:
    """Makes, lists, ends and checks the keys of one venue."""

    def __init__(
        self,
        secrets: Secrets,
        venue: str,
        database: Database,
        revocations: Revocations,
        now_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Keep what checking needs."""
        self._mark_key = hmac.digest(secrets.owner, b"tidemark key id", "sha256")
        self._venue = venue
        self._database = database
        self._revocations = revocations
        self._now_us = now_us
        self._remembered = Remembered(self._rows, revocations, monotonic_s)

    async def check(self, signed: Signed | None, subject: Subject) -> KeyHeld:
        """
        Return the key that signed; raises Refusal: SIGNATURE_INVALID, or SIGN_IN_UNAVAILABLE while nobody can say.

        Whatever does not hold, the work and the answer are the same, so that neither tells which keys there are.
        """
        known = Known(True, None, 0, 0.0)
        if signed is not None and self._marked(signed.key_id):
            known = await self._remembered.look(signed.key_id)
        sure = known.asked or self._now_us() >= known.ends_us
        held = None if signed is None else self._held(signed.key_id, known)
        public_key = bytes(known.row["public_key"]) if known.row is not None else _NOBODY
        stated = signed or Signed("none", 0, 0, bytes(64))
        genuine = verifies(public_key, stated.signature, signing_text(self._venue, stated, subject))
        if not sure:
            raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE)
        if held is None or not in_window(stated, self._now_us()) or not genuine:
            raise Refusal(GatewayCode.SIGNATURE_INVALID)
        return held

    async def holds(self, held: KeyHeld, age_max_s: float = CACHE_S) -> bool:
        """Return whether a key that passed once has neither expired nor been ended, as far as it can be known now."""
        known = await self._remembered.look(held.key_id, age_max_s)
        if not known.asked:
            return self._now_us() < min(held.expires_us, known.ends_us)
        return self._held(held.key_id, known) is not None

    async def listed(self, account_id: int) -> list[KeyRow]:
        """Return the live keys of an account, the newest first; raises DatabaseError."""
        rows = await self._database.fetch(KEYS_SELECT, self._venue, account_id, self._now_us())
        return [_key_row(row) for row in rows]

    async def create(
        self, account_id: int, public_key: bytes, scopes: tuple[str, ...], label: str, expires_us: int
    ) -> KeyRow:
        """Write a new key; raises Refusal (KEYS_MAX, KEY_INVALID) and DatabaseError."""
        now_us = self._now_us()
        if not now_us < expires_us <= now_us + LIFETIME_MAX_US:
            raise Refusal(GatewayCode.KEY_INVALID, {"field": "expires_ms", "lifetime_max_days": 365})
        key = KeyRow(self._key_id(), public_key, scopes, label, now_us, expires_us)
        async with self._database.transaction() as transaction:
            live = await self._live(transaction, account_id)
            _public_key_unused(live, public_key)
            if sum(row.rotated_to is None for row in live) >= KEYS_MAX:
                raise Refusal(GatewayCode.KEYS_MAX, {"keys_max": KEYS_MAX})
            await transaction.execute(KEY_INSERT, *self._values(account_id, key))
        return key

    async def rotate(self, account_id: int, key_id: str, public_key: bytes, overlap_s: int) -> KeyRow:
        """Write the key that takes another's place, which ends after the overlap; raises Refusal and DatabaseError."""
        now_us = self._now_us()
        async with self._database.transaction() as transaction:
            live = await self._live(transaction, account_id)
            old = next((row for row in live if row.key_id == key_id), None)
            if old is None:
                raise Refusal(GatewayCode.KEY_UNKNOWN)
            _public_key_unused(live, public_key)
            if old.rotated_to is not None:
                raise Refusal(GatewayCode.KEY_INVALID, {"reason": "rotated before", "rotated_to": old.rotated_to})
            if len(live) >= KEYS_MAX + ROTATED_MAX:
                raise Refusal(GatewayCode.KEYS_MAX, {"keys_max": KEYS_MAX + ROTATED_MAX})
            lifetime_us = old.expires_us - old.created_us
            key = KeyRow(self._key_id(), public_key, old.scopes, old.label, now_us, now_us + lifetime_us)
            ends_us = min(old.expires_us, now_us + overlap_s * 1_000_000)
            await transaction.execute(KEY_INSERT, *self._values(account_id, key))
            await transaction.execute(KEY_ROTATED, key_id, self._venue, key.key_id, ends_us)
        self._remembered.end(key_id, ends_us)
        await self._revocations.end(key_id, ends_us, old.expires_us)
        return key

    async def revoke(self, account_id: int, key_id: str) -> bool:
        """End a key: here at once, elsewhere within five seconds; False when the account has no such live one."""
        if not self._marked(key_id):
            return False
        row = await self._database.fetchrow(KEY_REVOKE, key_id, self._venue, account_id, self._now_us())
        if row is None:
            return False
        self._remembered.end(key_id, AT_ONCE_US)
        await self._revocations.end(key_id, AT_ONCE_US, row["expires_us"])
        return True

    def _held(self, key_id: str, known: Known) -> KeyHeld | None:
        """Return the key of a row, None unless it holds now."""
        row = known.row
        if row is None or row["revoked_us"] is not None or fenced(known.fences, row["account_id"], row["created_us"]):
            return None
        expires_us = min(row["expires_us"], known.ends_us)
        if self._now_us() >= expires_us:
            return None
        return KeyHeld(row["account_id"], key_id, expires_us, frozenset(row["scopes"].split()))

    def _key_id(self) -> str:
        """Return a new key's id: chance, and a mark that only this venue can make."""
        raw = chance.token_bytes(_CHANCE_BYTES)
        return (raw + self._mark(raw)).hex()

    def _mark(self, raw: bytes) -> bytes:
        """Return the mark of an id's chance."""
        return hashlib.blake2b(raw, digest_size=_MARK_BYTES, key=self._mark_key).digest()

    def _marked(self, key_id: str) -> bool:
        """Return whether an id was made by this venue; for an invented one nobody needs to ask Postgres."""
        try:
            raw = bytes.fromhex(key_id)
        except ValueError:
            return False
        if len(raw) != _CHANCE_BYTES + _MARK_BYTES or raw.hex() != key_id:
            return False
        return hmac.compare_digest(raw[_CHANCE_BYTES:], self._mark(raw[:_CHANCE_BYTES]))

    async def _live(self, transaction: Any, account_id: int) -> list[KeyRow]:
        """Return the live keys of an account, which nobody else changes until the transaction ends."""
        await transaction.execute(KEYS_LOCK, f"api keys {self._venue} {account_id}")
        return [_key_row(row) for row in await transaction.fetch(KEYS_SELECT, self._venue, account_id, self._now_us())]

    def _values(self, account_id: int, key: KeyRow) -> tuple[Any, ...]:
        """Return a key as the values of its row."""
        scopes = scopes_text(key.scopes)
        return (key.key_id, self._venue, account_id, key.public_key, scopes, key.label, key.created_us, key.expires_us)

    async def _rows(self, key_ids: Collection[str]) -> dict[str, Row]:
        """Return what Postgres holds of some keys."""
        rows = await self._database.fetch(KEYS_LOOK, list(key_ids), self._venue)
        return {row["key_id"]: row for row in rows}


def _key_row(row: Row) -> KeyRow:
    """Return a row as its owner sees it."""
    return KeyRow(
        row["key_id"],
        bytes(row["public_key"]),
        tuple(row["scopes"].split()),
        row["label"],
        row["created_us"],
        row["expires_us"],
        row["rotated_to"],
    )


def _public_key_unused(live: list[KeyRow], public_key: bytes) -> None:
    """Raise Refusal when a live key has this public half already: what was sent twice makes one key."""
    for row in live:
        if row.public_key == public_key:
            raise Refusal(GatewayCode.KEY_INVALID, {"field": "public_key", "key_id": row.key_id, "reason": "in use"})
