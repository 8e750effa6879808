"""
Magic links: who asks for one, what consumes it, and how a person comes to an account.

The person's row is made when the link is asked for. Which account is theirs the log alone knows: each sign-in appends
`account_open`, and the engine answers the same account for the same owner, however often. What the row says of the
account is only noted, so neither a crash between the two, nor an older Postgres, nor a log that lost its end and gave
an account's number to somebody else, can give one person's account to another.
"""

import asyncio
import hashlib
import secrets as chance
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from email_validator import EmailNotValidError, validate_email

from gateway.errors import GatewayCode, Refusal
from gateway.mail import Mail, Mailer
from gateway.sign_in.auth import SESSION_SECONDS, Session, session_issue
from gateway.sign_in.secret import Secrets, email_digest, owner_of_digest
from shared.database import Database, DatabaseError

LINK_SECONDS = 15 * 60
PURPOSE = "sign in"
SUBJECT = "Sign in to Tidemark"
TOKEN_BYTES = 32
QUEUE_MAX = 1_000
TRIES = 5
TRY_PAUSE_S = 1.0

PERSON_UPSERT = (
    "INSERT INTO users (user_id, venue, email, email_hash, created_us) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (venue, email_hash) DO UPDATE SET email = EXCLUDED.email RETURNING user_id"
)
LINKS_VOID = "DELETE FROM login_links WHERE user_id = $1 AND purpose = $2"
LINK_INSERT = (
    "INSERT INTO login_links (token_hash, user_id, purpose, created_us, expires_us) VALUES ($1, $2, $3, $4, $5)"
)
LINK_SELECT = (
    "SELECT users.user_id, users.email, users.email_hash FROM login_links JOIN users USING (user_id)"
    " WHERE token_hash = $1 AND purpose = $2 AND expires_us > $3 AND venue = $4"
)
# One statement, so that a link is consumed, the account noted and the session written together or not at all. A row
# that claims the account for another person is of a Postgres from before a restoration of the log: it is put right.
LINK_CONSUME = (
    "WITH taken AS (DELETE FROM login_links WHERE token_hash = $1 AND purpose = $2 AND expires_us > $3"
    "   RETURNING user_id),"
    " parted AS (UPDATE users SET account_id = NULL FROM taken WHERE users.venue = $5 AND users.account_id = $4"
    "   AND users.user_id <> taken.user_id RETURNING users.user_id),"
    " named AS (UPDATE users SET account_id = $4 FROM taken WHERE users.user_id = taken.user_id"
    "   AND users.venue = $5 AND (SELECT count(*) FROM parted) >= 0 RETURNING users.user_id)"
    " INSERT INTO sessions (jti, venue, user_id, account_id, created_us, expires_us, label)"
    " SELECT $6, $5, named.user_id, $4, $3, $7, $8 FROM named RETURNING jti"
)


class Person(NamedTuple):
    """Whom a valid link is for."""

    user_id: uuid.UUID
    email: str
    owner: str


class SignedIn(NamedTuple):
    """A consumed link."""

    session: Session
    token: str


def address_read(text: str) -> str | None:
    """Return the address in the one form that names its person, None when it is no address."""
    if len(text) > 254:
        return None
    try:
        checked = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        # `.local` is reserved, and yet what a venue on one's own machine uses.
        return _address_local(text.strip())
    return checked.normalized.lower()


def _address_local(text: str) -> str | None:
    """Return an address of a `.local` host, None for everything else."""
    name, separator, host = text.rpartition("@")
    if not separator or not host.lower().endswith(".local"):
        return None
    try:
        checked = validate_email(f"{name}@{host[:-6]}.example.com", check_deliverability=False)
    except EmailNotValidError:
        return None
    return checked.local_part.lower() + "@" + host.lower()


def token_hash(token: str) -> bytes:
    """Return what is stored of a link's token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


class Links:
    """Sends links and consumes them, for one venue."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        venue: str,
        mailer: Mailer,
        base_url: str,
        account_open: Callable[[str], Any],  # coroutine function: owner -> account id; raises Refusal
        now_us: Callable[[], int],
        log: Any,
    ) -> None:
        """Keep what links need."""
        self._database = database
        self._secrets = secrets
        self._venue = venue
        self._mailer = mailer
        self._base_url = base_url
        self._account_open = account_open
        self._now_us = now_us
        self._log = log
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)

    def ask(self, address: str) -> None:
        """Take a wish for a link; all work is done later, so neither the answer nor its time tells who is known."""
        if self._mailer.full:
            raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE)
        try:
            self._queue.put_nowait(address)
        except asyncio.QueueFull:
            raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE) from None

    async def run(self) -> None:
        """Write and send the links that are asked for, one after the other."""
        while True:
            await self._send_trying(await self._queue.get())

    async def _send_trying(self, address: str) -> None:
        """Send one link; while Postgres is away, try a few times."""
        for attempt in range(1, TRIES + 1):
            try:
                await self.send(address)
                return
            except DatabaseError as error:
                self._log.warning("sign_in_link_failed", attempt=attempt, reason=type(error).__name__)
                if attempt < TRIES:
                    await asyncio.sleep(TRY_PAUSE_S)

    async def send(self, address: str) -> None:
        """Void the address's earlier links, write a new one and mail it; a first-timer becomes a pending person."""
        now_us = self._now_us()
        token = chance.token_urlsafe(TOKEN_BYTES)
        digest = email_digest(self._secrets.owner, address)
        async with self._database.transaction() as transaction:
            row = await transaction.fetchrow(PERSON_UPSERT, uuid.uuid4(), self._venue, address, digest, now_us)
            assert row is not None, "an upsert returns its row"
            await transaction.execute(LINKS_VOID, row["user_id"], PURPOSE)
            expires_us = now_us + LINK_SECONDS * 1_000_000
            await transaction.execute(LINK_INSERT, token_hash(token), row["user_id"], PURPOSE, now_us, expires_us)
        key = uuid.uuid4().hex
        link = f"{self._base_url}/api/v1/auth/verify?token={token}"
        self._mailer.put(Mail(address, link, SUBJECT, key, now_us, expires_us))
        self._log.info("sign_in_link_written", user=str(row["user_id"]), mail=key)

    async def person(self, token: str) -> Person | None:
        """Return whom a link is for without consuming it, None when it is not valid."""
        row = await self._database.fetchrow(LINK_SELECT, token_hash(token), PURPOSE, self._now_us(), self._venue)
        if row is None:
            return None
        return Person(row["user_id"], row["email"], owner_of_digest(bytes(row["email_hash"])))

    async def consume(self, token: str, label: str) -> SignedIn:
        """Return the session that a link opens; raises Refusal, and the link stays good unless it was consumed."""
        try:
            person = await self.person(token)
            if person is None:
                raise Refusal(GatewayCode.LINK_INVALID)
            account_id = await self._account_open(person.owner)
            now_us = self._now_us()
            session, session_token = session_issue(self._secrets, self._venue, account_id, now_us)
            row = await self._database.fetchrow(
                LINK_CONSUME,
                token_hash(token),
                PURPOSE,
                now_us,
                account_id,
                self._venue,
                uuid.UUID(session.jti),
                now_us + SESSION_SECONDS * 1_000_000,
                label,
            )
        except DatabaseError:
            raise Refusal(GatewayCode.SIGN_IN_UNAVAILABLE) from None
        if row is None:
            raise Refusal(GatewayCode.LINK_INVALID)
        self._log.info("signed_in", account=account_id, user=str(person.user_id))
        return SignedIn(session, session_token)
