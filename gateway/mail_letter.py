"""A mail as it is read: the text and the HTML of a link, and both as one message of RFC 5322; pure."""

import html
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

from gateway.mail import Mail

FOLDER = Path(__file__).parent / "templates"
TEXT = Template((FOLDER / "link.txt").read_text(encoding="utf-8"))
HTML = Template((FOLDER / "link.html").read_text(encoding="utf-8"))
LINE_PLAIN_MAX = 900  # longer lines, and text beyond ASCII, are encoded


class Letter(NamedTuple):
    """What a reader sees, for readers of HTML and for all others."""

    text: str
    html: str


class Sender(NamedTuple):
    """Who writes: the name shown, and the address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """Return the part after the @."""
        return self.address.rpartition("@")[2]

    def shown(self) -> str:
        """Return `Name <address>` as a header has it."""
        return str(Address(self.name, addr_spec=self.address))


def sender_read(text: str) -> Sender:
    """Return the sender that a setting names; raises ValueError unless it is one plain address of ASCII."""
    name, address = parseaddr(text)
    if not address or not text.isascii() or any(ord(letter) < 32 for letter in text):
        raise ValueError("it is not one address")
    if text.strip() != address and not text.strip().endswith(f"<{address}>"):
        raise ValueError("it is more than one address")
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        if not address.lower().endswith(".local"):
            raise ValueError(str(error)) from None
    return Sender(name, address)


def address_sent(address: str) -> str:
    """Return an address as servers without SMTPUTF8 take it: its host in ASCII, where its name is ASCII."""
    name = address.rpartition("@")[0]
    if address.isascii() or not name.isascii():
        return address
    try:
        checked = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return address
    return checked.ascii_email or address


def letter_build(mail: Mail) -> Letter:
    """Return what a mail says."""
    minutes = max(1, round((mail.expires_us - mail.written_us) / 60_000_000))
    values = {
        "link": mail.link,
        "minutes": str(minutes),
        "site": urlsplit(mail.link).netloc,
        "subject": mail.subject,
    }
    escaped = {name: html.escape(value) for name, value in values.items()}
    return Letter(TEXT.substitute(values), HTML.substitute(escaped))


def message_id(mail: Mail, sender: Sender) -> str:
    """Return the Message-ID that a mail has in all its tries, so that a second copy is known for one."""
    return f"<{mail.key}@{sender.domain}>"


def message_build(mail: Mail, sender: Sender) -> EmailMessage:
    """Return the message; the same mail gives the same bytes each time."""
    letter = letter_build(mail)
    message = EmailMessage(policy=SMTP.clone(utf8=not mail.to.isascii() and not address_sent(mail.to).isascii()))
    message["From"] = sender.shown()
    message["To"] = address_sent(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = formatdate(mail.written_us // 1_000_000, usegmt=True)
    message["Message-ID"] = message_id(mail, sender)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text, cte=_encoding(letter.text))
    message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
    message.set_boundary(f"=_{mail.key}")
    return message


def _encoding(text: str) -> str:
    """Return how a part travels: plain where it can, so that a link is never broken over lines."""
    plain = text.isascii() and all(len(line) <= LINE_PLAIN_MAX for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"
