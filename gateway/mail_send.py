"""
The ways out for mails: SMTP and Resend's HTTP API, and which of them the settings name.

Each says of a failure whether another try may succeed, by code alone: what servers write holds addresses. A try whose
answer was lost is repeated under the same Message-ID or Idempotency-Key, so that it is no second mail.
"""

import asyncio
import contextlib
import ipaddress
import re
import ssl
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib
import httpx2

from gateway.mail import Mail, MailFailed, MailFolder, Transport, mail_keep, mail_print
from gateway.mail_letter import Sender, address_sent, letter_build, message_build, message_id, sender_read
from shared.settings import Settings

SEND_TIMEOUT_S = 20.0  # of one try in all
QUIT_TIMEOUT_S = 2.0
WAIT_MAX_S = 300.0  # of what the other side asks for
PRODUCTION = "production"
STATUSES_FOR_LATER = (408, 425, 429)
CONCURRENT = "concurrent_idempotent_requests"  # Resend's word for: the try before is still under way
_ENHANCED = re.compile(r"\A([245]\.\d{1,3}\.\d{1,3})\b")
_WORD = re.compile(r"\A[a-z_]{1,48}\Z")
_KEY = re.compile(r"\A[!-~]{8,256}\Z")


class SettingsFault(Exception):
    """Settings that cannot send mail; its text says what would be right."""


class SmtpPlace(NamedTuple):
    """An SMTP server and how it is spoken to."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: str  # `starttls`, `implicit` or `none`


def smtp_place(url: str) -> SmtpPlace:
    """Return the server that TIDEMARK_SMTP_URL names; raises SettingsFault, which never repeats the password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        username, password = parts.username, parts.password
    except ValueError:
        raise SettingsFault("TIDEMARK_SMTP_URL cannot be read as smtp://user:password@host:port.") from None
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme not in ("smtp", "smtps") or not host or parts.path not in ("", "/") or parts.fragment:
        raise SettingsFault("TIDEMARK_SMTP_URL has the form smtp://user:password@host:587 or smtps://….")
    if query not in ([], [("tls", "none")]):
        raise SettingsFault("TIDEMARK_SMTP_URL knows no other parameter than ?tls=none.")
    if (username is None) != (password is None) or username == "":
        raise SettingsFault("TIDEMARK_SMTP_URL needs both a user and a password, or neither.")
    tls = "implicit" if parts.scheme == "smtps" else "starttls"
    if query:
        if tls == "implicit" or not is_loopback(host):
            raise SettingsFault("TIDEMARK_SMTP_URL may say ?tls=none of smtp:// on loopback alone.")
        tls = "none"
    usual = {"implicit": 465, "starttls": 587, "none": 25}[tls]
    decoded = [None if part is None else unquote(part) for part in (username, password)]
    return SmtpPlace(host, port or usual, decoded[0], decoded[1], tls)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resend_key(settings: Settings) -> str:
    """Return the key of Resend's API; raises SettingsFault, which never repeats it."""
    try:
        key = settings.resend_key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsFault(f"TIDEMARK_RESEND_KEY_FILE cannot be read: {reason}.") from None
    if not _KEY.match(key):
        raise SettingsFault("TIDEMARK_RESEND_KEY_FILE must hold one key of 8 to 256 printable characters.")
    return key


def resend_url(settings: Settings) -> str:
    """Return where Resend's API is; raises SettingsFault unless nobody can listen on the way."""
    try:
        parts = urlsplit(settings.resend_url)
        host = parts.hostname or ""
        plain = parts.scheme == "http" and is_loopback(host)
    except ValueError:
        raise SettingsFault("TIDEMARK_RESEND_URL cannot be read as an address.") from None
    if not host or not (parts.scheme == "https" or plain) or parts.query or parts.fragment:
        raise SettingsFault("TIDEMARK_RESEND_URL must begin with https://, or be http:// on loopback.")
    return settings.resend_url.rstrip("/")


def transport_build(settings: Settings) -> Transport:
    """Return the way that the settings name; raises SettingsFault with one clear sentence."""
    unused_check(settings)
    if settings.mail == "console":
        show = mail_keep if settings.environment == PRODUCTION else mail_print
        return MailFolder(settings.data_dir / "mail", show)
    try:
        sender = sender_read(settings.mail_from)
    except ValueError as error:
        example = "Tidemark <tidemark@example.org>"
        needed = f"TIDEMARK_MAIL={settings.mail} needs a TIDEMARK_MAIL_FROM like {example}"
        raise SettingsFault(f"{needed}: {str(error).rstrip('.')}.") from None
    if settings.mail == "smtp":
        return MailSmtp(smtp_place(settings.smtp_url), sender)
    return MailResend(resend_url(settings), resend_key(settings), sender)


def unused_check(settings: Settings) -> None:
    """Raise SettingsFault when a server is named and would not be used: nobody sets one for nothing."""
    needs = {"smtp": ("TIDEMARK_SMTP_URL", settings.smtp_url != "")}
    needs["resend"] = ("TIDEMARK_RESEND_KEY_FILE", str(settings.resend_key_file) != ".")
    for mail, (name, given) in needs.items():
        if given and settings.mail != mail:
            raise SettingsFault(f"{name} is set, but TIDEMARK_MAIL is {settings.mail}; set TIDEMARK_MAIL={mail}.")
        if settings.mail == mail and not given:
            raise SettingsFault(f"TIDEMARK_MAIL={mail} needs {name}.")


def mail_fault(settings: Settings) -> str:
    """Return why these settings cannot send mail, empty when they can."""
    if settings.environment == PRODUCTION and settings.mail == "console":
        return "TIDEMARK_ENV=production needs TIDEMARK_MAIL=smtp or TIDEMARK_MAIL=resend: else nobody gets a link."
    try:
        transport_build(settings)
    except SettingsFault as fault:
        return str(fault)
    return ""


class MailSmtp:
    """Hands mails to an SMTP server, one connection a mail."""

    name = "smtp"

    def __init__(self, place: SmtpPlace, sender: Sender, tls_context: ssl.SSLContext | None = None) -> None:
        """Keep where and how; without a context certificates are checked against the system's."""
        self._place = place
        self._sender = sender
        self._tls_context = None if place.tls == "none" else tls_context or ssl.create_default_context()

    async def send(self, mail: Mail) -> None:
        """Send one mail; raises MailFailed."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._send(mail)
        except TimeoutError:
            raise MailFailed("timeout") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise smtp_failed(error.recipients[0]) from None
        except aiosmtplib.SMTPResponseException as error:
            raise smtp_failed(error) from None
        except aiosmtplib.SMTPNotSupported:
            # Also: no SMTPUTF8 for an address beyond ASCII, and no STARTTLS; in the clear nothing is ever sent.
            raise MailFailed("the server does not offer what this mail needs", final=True) from None
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as error:
            raise MailFailed(type(error).__name__) from error

    async def _send(self, mail: Mail) -> None:
        """Speak to the server."""
        place = self._place
        client = aiosmtplib.SMTP(
            hostname=place.host,
            port=place.port,
            username=place.username,
            password=place.password,
            local_hostname=self._sender.domain,
            timeout=SEND_TIMEOUT_S,
            use_tls=place.tls == "implicit",
            start_tls=place.tls == "starttls",
            tls_context=self._tls_context,
        )
        try:
            await client.connect()
            message = message_build(mail, self._sender)
            await client.send_message(message, sender=self._sender.address, recipients=[address_sent(mail.to)])
            # The mail is the server's now, however the goodbye goes.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=QUIT_TIMEOUT_S)
        finally:
            client.close()

    async def close(self) -> None:
        """Do nothing: no connection outlives its mail."""


def smtp_failed(error: aiosmtplib.SMTPResponseException) -> MailFailed:
    """Return what a server's refusal means: 5xx is its last word, everything else may change."""
    enhanced = _ENHANCED.match(error.message.strip())
    reason = f"SMTP {error.code}" + (f" {enhanced[1]}" if enhanced else "")
    return MailFailed(reason, final=500 <= error.code < 600)


class MailResend:
    """Hands mails to Resend's HTTP API."""

    name = "resend"

    def __init__(self, url: str, key: str, sender: Sender) -> None:
        """Keep where and who; the client is made with the first mail."""
        self._url = url
        self._key = key
        self._sender = sender
        self._client: httpx2.AsyncClient | None = None

    async def send(self, mail: Mail) -> None:
        """Send one mail; raises MailFailed."""
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=SEND_TIMEOUT_S, follow_redirects=False)
        letter = letter_build(mail)
        body = {
            "from": self._sender.shown(),
            "to": [address_sent(mail.to)],
            "subject": mail.subject,
            "text": letter.text,
            "html": letter.html,
            "headers": {"Message-ID": message_id(mail, self._sender), "Auto-Submitted": "auto-generated"},
        }
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": mail.key}
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                answer = await self._client.post(f"{self._url}/emails", json=body, headers=headers)
        except TimeoutError:
            raise MailFailed("timeout") from None
        except httpx2.HTTPError as error:
            raise MailFailed(type(error).__name__) from error
        if not answer.is_success:
            raise resend_failed(answer)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def resend_failed(answer: httpx2.Response) -> MailFailed:
    """Return what a refusal means: 4xx is Resend's last word but for the few that ask to come back."""
    name = ""
    with contextlib.suppress(ValueError, AttributeError):
        stated = answer.json().get("name")
        name = stated if isinstance(stated, str) and _WORD.match(stated) else ""
    status = answer.status_code
    later = status >= 500 or status in STATUSES_FOR_LATER or (status == 409 and name == CONCURRENT)
    text = answer.headers.get("retry-after", "")
    wait_s = min(WAIT_MAX_S, float(text[:6])) if text.isascii() and text.isdigit() else 0.0
    return MailFailed(f"HTTP {status} {name}".strip(), final=not later, wait_s=wait_s)
