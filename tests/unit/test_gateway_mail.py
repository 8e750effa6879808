"""The queue of mails and what a mail says: nothing waits for it, nothing is sent twice or too late."""

import asyncio
import email
import email.policy
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.mail import PAUSE_MAX_S, SENT, WAITING_MAX, WORKERS, Mail, Mailer, MailFailed, MailFolder, pause_s
from gateway.mail_letter import Sender, address_sent, letter_build, message_build, sender_read
from tests.gateway_doubles import NOW_US, Clock, Log, eventually

pytestmark = pytest.mark.anyio
LIFE_US = 900_000_000
LINK = "https://venue.example/api/v1/auth/verify?token=" + "t" * 43
SENDER = Sender("Tidemark", "tidemark@venue.example")


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio."""
    return "asyncio"


def mail_of(to: str = "ada@example.com", key: str = "k1", **changes: Any) -> Mail:
    """Return a mail with a link that has just been written."""
    return Mail(to, LINK, "Sign in to Tidemark", key, NOW_US, NOW_US + LIFE_US)._replace(**changes)


class Way:
    """A transport that does as it is told: each answer is None, an exception, or an event to wait for."""

    name = "way"

    def __init__(self, *answers: Any) -> None:
        """Keep the answers; after the last all is well."""
        self.answers = list(answers)
        self.sent: list[Mail] = []
        self.closed = False

    async def send(self, mail: Mail) -> None:
        """Take a mail as the next answer says."""
        self.sent.append(mail)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif answer is not None:
            raise answer

    async def close(self) -> None:
        """Note it."""
        self.closed = True


class Post:
    """A mailer at work over a way."""

    def __init__(self, *answers: Any) -> None:
        """Build it; jitter is drawn as nothing."""
        self.clock = Clock()
        self.log = Log()
        self.way = Way(*answers)
        self.later: list[Any] = []
        self.mailer = Mailer(self.way, self.clock.now_us, self.log, lambda _bits: 0, self.call_later)

    def call_later(self, _delay_s: float, call: Any, *arguments: Any) -> asyncio.TimerHandle:
        """Keep a call until `due`."""
        self.later.append(lambda: call(*arguments))
        return asyncio.get_running_loop().call_later(3_600, print)

    def due(self) -> None:
        """Let every mail that waits for another try have it now."""
        later, self.later = self.later, []
        for call in later:
            call()

    async def retried(self, count: int) -> None:
        """Wait until so many tries have failed."""
        await eventually(lambda: len(self.said("mail_retried")) == count)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged under a name."""
        return [fields for name, fields in self.log.lines if name == event]


@asynccontextmanager
async def posting(*answers: Any) -> AsyncIterator[Post]:
    """Yield a mailer that runs."""
    post = Post(*answers)
    task = asyncio.ensure_future(post.mailer.run())
    try:
        yield post
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert post.way.closed


async def test_a_mail_is_sent_once_and_forgotten() -> None:
    """A mail that the other side took is counted, logged by its key alone, and not kept."""
    async with posting() as post:
        assert post.mailer.put(mail_of())
        await eventually(lambda: post.mailer.outcomes[SENT] == 1)
        assert post.way.sent == [mail_of()]
        assert (post.mailer.waiting, post.mailer._newest, post.mailer._timers) == (0, {}, {})
        assert post.said("mail_sent") == [{"mail": "k1", "transport": "way", "tries": 1}]
        assert "ada@" not in str(post.log.lines)
        assert "token" not in str(post.log.lines)


async def test_a_failed_try_is_repeated_with_the_same_mail() -> None:
    """A try that failed for now waits, longer each time, and the very same mail goes out again."""
    async with posting(MailFailed("HTTP 503"), ConnectionResetError(), None) as post:
        post.mailer.put(mail_of())
        for tries in (1, 2):
            await post.retried(tries)
            post.due()
        await eventually(lambda: post.mailer.outcomes[SENT] == 1)
        assert len(set(post.way.sent)) == 1
        assert len(post.way.sent) == 3
        waits = [(fields["wait_s"], fields["reason"]) for fields in post.said("mail_retried")]
        assert waits == [(0.5, "HTTP 503"), (1.0, "ConnectionResetError")]


async def test_a_last_word_ends_a_mail() -> None:
    """After a final refusal, or a mistake of ours, there is no other try, and the mailer works on."""
    async with posting(MailFailed("SMTP 550 5.1.1", final=True), ZeroDivisionError("ours")) as post:
        for key in ("k1", "k2", "k3"):
            post.mailer.put(mail_of(f"{key}@example.com", key))
        await eventually(lambda: post.mailer.waiting == 0)
        assert dict(post.mailer.outcomes) == {"failed": 2, "sent": 1}
        assert [fields["reason"] for fields in post.said("mail_failed")] == ["SMTP 550 5.1.1", "a mistake of ours"]


async def test_nothing_is_tried_after_the_link_expired() -> None:
    """A mail whose link would have expired by the next try is given up at once; so is one that waited too long."""
    async with posting(MailFailed("HTTP 429", wait_s=LIFE_US / 1e6)) as post:
        post.mailer.put(mail_of())
        await eventually(lambda: post.mailer.outcomes["expired"] == 1)
        assert post.mailer._timers == {}
        post.clock.advance(LIFE_US / 1e6)
        post.mailer.put(mail_of(key="k2"))
        await eventually(lambda: post.mailer.outcomes["expired"] == 2)
        assert len(post.way.sent) == 1
        assert post.mailer.waiting == 0


async def test_asking_again_drops_the_mail_before() -> None:
    """Only the newest mail to an address goes out: asking again has voided the earlier links."""
    async with posting(MailFailed("HTTP 500"), MailFailed("HTTP 500")) as post:
        for key in ("k1", "k2"):
            post.mailer.put(mail_of(key=key))
            await post.retried(int(key[1]))
        post.due()
        await eventually(lambda: post.mailer.waiting == 0)
        assert [mail.key for mail in post.way.sent] == ["k1", "k2", "k2"]
        assert [fields["mail"] for fields in post.said("mail_superseded")] == ["k1"]


async def test_bad_addresses_hold_up_nobody() -> None:
    """More failing mails than there are workers leave the workers free for a good one."""
    async with posting(*[MailFailed("SMTP 451")] * (2 * WORKERS)) as post:
        for number in range(2 * WORKERS):
            post.mailer.put(mail_of(f"{number}@example.com", f"k{number}"))
        post.mailer.put(mail_of(key="good"))
        await eventually(lambda: post.mailer.outcomes[SENT] == 1)
        assert post.way.sent[-1].key == "good"
        assert post.mailer.waiting == 2 * WORKERS


async def test_a_silent_other_side_blocks_no_put() -> None:
    """While every worker hangs, mails are taken up to the bound, and then refused at once."""
    hang = asyncio.Event()
    async with posting(*[hang] * WORKERS) as post:
        taken = [post.mailer.put(mail_of(f"{number}@example.com", f"k{number}")) for number in range(WAITING_MAX)]
        assert all(taken)
        assert post.mailer.full
        assert not post.mailer.put(mail_of(key="late"))
        assert post.mailer.outcomes["full"] == 1
        hang.set()
        await eventually(lambda: post.mailer.waiting == 0)
        assert post.mailer.outcomes[SENT] == WAITING_MAX


def test_pauses_grow_from_a_second_to_a_minute() -> None:
    """Pauses double from 1 to 60 s, never less than half nor more than the whole of it."""
    assert [pause_s(tries, 1) for tries in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert all(pause_s(tries, 0) == pause_s(tries, 1) / 2 for tries in range(1, 9))
    assert pause_s(10_000, 1) == PAUSE_MAX_S


async def test_mails_in_the_folder_are_for_their_owner(tmp_path: Path) -> None:
    """Each mail is a numbered file of its own with to, link and subject, readable by its owner alone."""
    shown: list[Mail] = []
    folder = MailFolder(tmp_path / "mail", shown.append)
    paths = await asyncio.gather(*(folder.send(mail_of(key=str(number))) for number in range(3)))
    assert [path.name for path in paths] == ["001.json", "002.json", "003.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert sorted(path.name for path in (tmp_path / "mail").iterdir()) == ["001.json", "002.json", "003.json"]
    assert b'"to": "ada@example.com"' in paths[0].read_bytes()
    assert b"written_us" not in paths[0].read_bytes()
    assert [mail.key for mail in shown] == ["0", "1", "2"]


def test_a_letter_says_how_long_and_is_safe_html() -> None:
    """Both forms hold the link whole and its life; what could be markup in HTML is text there."""
    letter = letter_build(mail_of(link=LINK + "&x=<b>", subject="a<b"))
    assert LINK + "&x=<b>" in letter.text
    assert "15 minutes" in letter.text
    assert letter.html.count(LINK + "&amp;x=&lt;b&gt;") == 2
    assert "<b>" not in letter.html
    assert "a&lt;b" in letter.html
    for foreign in ("src=", "http://", "<script", "<img", "url("):
        assert foreign not in letter.html, "a mail fetches nothing"
    assert letter.html.count("https://") == 2, "no address but the link"


def test_a_message_is_the_same_in_every_try() -> None:
    """The same mail gives the same bytes, Message-ID and Date; both parts read as they were written."""
    first, second = (message_build(mail_of(), SENDER).as_bytes() for _ in range(2))
    assert first == second
    message = email.message_from_bytes(first, policy=email.policy.default)
    assert message["Message-ID"] == "<k1@venue.example>"
    assert message["Date"] == "Fri, 21 Nov 2025 04:40:00 +0000"
    assert message["From"] == "Tidemark <tidemark@venue.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    letter = letter_build(mail_of())
    for part, text in zip(message.iter_parts(), letter, strict=True):
        assert part.get_content().replace("\r\n", "\n") == text
    assert LINK.encode() in first, "readable in the raw message too"


def test_a_long_or_foreign_link_is_encoded() -> None:
    """Text that may not travel plain arrives as it was written all the same."""
    for link in (LINK + "x" * 1_000, "https://bücher.example/?token=1"):
        built = message_build(mail_of(link=link), SENDER).as_bytes()
        assert max(len(line) for line in built.splitlines()) <= 998
        message = email.message_from_bytes(built, policy=email.policy.default)
        body = message.get_body(("plain",))
        assert body is not None
        assert link in body.get_content()


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("adä@bücher.example", "adä@bücher.example"),
        ("you@tidemark.local", "you@tidemark.local"),
    ],
)
def test_hosts_are_written_in_ascii(address: str, sent: str) -> None:
    """An international host is sent as every server takes it, unless the name before it needs SMTPUTF8 anyway."""
    assert address_sent(address) == sent
    assert sent.encode() in message_build(mail_of(address), SENDER).as_bytes()


def test_a_sender_is_one_address() -> None:
    """A name and one address are taken; lists, line breaks and words are not."""
    assert sender_read("Tidemark <a@example.org>") == Sender("Tidemark", "a@example.org")
    assert sender_read('"Tide, mark" <a@example.org>').shown() == '"Tide, mark" <a@example.org>'
    assert sender_read("a@tidemark.local").shown() == "a@tidemark.local"
    for text in ("", "Tidemark", "a@example.org, b@example.org", "a@example.org\nBcc: b@example.org", "a@", "ä@ö.de"):
        with pytest.raises(ValueError, match=r"address|email|sign"):
            sender_read(text)
