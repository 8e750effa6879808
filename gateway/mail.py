"""
Mails on their way: a queue that no request waits for, tries with longer and longer pauses, and development's folder.

What leaves the machine goes through `mail_send.py`. The queue is memory alone, because only the hash of a link's token
may be stored: a mail that a crash loses is asked for again.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

WAITING_MAX = 1_000
WORKERS = 4
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 60.0
CHANCE_BITS = 16
# What became of mails, and of tries that did not end one.
SENT, FAILED, EXPIRED, SUPERSEDED, FULL, RETRIED = "sent", "failed", "expired", "superseded", "full", "retried"
OUTCOMES = (SENT, FAILED, EXPIRED, SUPERSEDED, FULL, RETRIED)


class Mail(NamedTuple):
    """One mail with one link."""

    to: str
    link: str
    subject: str
    key: str = ""  # who it is through all tries, and how the log names it; random, so it tells nothing of the link
    written_us: int = 0
    expires_us: int = 0  # of the link; a try after it is of no use


class MailFailed(Exception):
    """A try that failed; its reason holds no address and no link."""

    def __init__(self, reason: str, *, final: bool = False, wait_s: float = 0.0) -> None:
        """Remember whether another try may succeed, and how long the other side wants to be left alone."""
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.wait_s = wait_s


class Transport(Protocol):
    """A way for mails; `send` raises MailFailed or OSError, and may be called again with the same mail."""

    name: str

    async def send(self, mail: Mail) -> object:
        """Hand one mail over."""

    async def close(self) -> None:
        """Let go of what is open."""


def mail_print(mail: Mail) -> None:
    """Show a mail's link on the console; it is the development sink, not a log."""
    print(f"{mail.subject}: {mail.link}", file=sys.stdout, flush=True)


def mail_keep(_mail: Mail) -> None:
    """Show nothing: in production a log that held links would sign in whoever reads it."""


class MailFolder:
    """Writes each mail as `NNN.json` into a folder and shows its link."""

    name = "console"

    def __init__(self, folder: Path, show: Callable[[Mail], None] = mail_print) -> None:
        """Keep where mails go."""
        self._folder = folder
        self._show = show

    async def send(self, mail: Mail) -> Path:
        """Return the file that holds the mail, complete as soon as it has its name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = 1 + max((int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit()), default=0)
        temporary = self._folder / f".{os.getpid()}.tmp"
        shown = {"to": mail.to, "link": mail.link, "subject": mail.subject}
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        while True:
            path = self._folder / f"{number:03d}.json"
            try:
                # A link, not a rename: two gateways may take the same number, and one mail would be lost.
                os.link(temporary, path)
                break
            except FileExistsError:
                number += 1
        temporary.unlink()
        self._show(mail)
        return path

    async def close(self) -> None:
        """Do nothing: no file stays open."""


def pause_s(tries: int, chance: float) -> float:
    """Return how long to wait after so many tries: 1, 2, 4 … 60 s, of which chance, from 0 to 1, decides the half."""
    whole = PAUSE_MAX_S if tries > 6 else min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** (tries - 1))
    return whole * (1 + chance) / 2


class _Job(NamedTuple):
    """A mail and the tries it has had."""

    mail: Mail
    tries: int = 0


class Mailer:
    """Sends mails over one transport; nothing that goes wrong with a mail leaves it."""

    def __init__(
        self,
        transport: Transport,
        now_us: Callable[[], int],
        log: Any,
        randbits: Callable[[int], int],
        call_later: Callable[..., asyncio.TimerHandle] | None = None,
    ) -> None:
        """Start empty; `run` sends; pauses pass by `call_later`, the event loop's unless another is given."""
        self.transport = transport
        self.outcomes: Counter[str] = Counter()
        self.waiting = 0  # mails taken and not ended, those that wait for another try among them
        self._now_us = now_us
        self._log = log
        self._randbits = randbits
        self._call_later = call_later
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._newest: dict[str, str] = {}  # address -> key of the mail that counts
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def full(self) -> bool:
        """Return whether another mail would be dropped."""
        return self.waiting >= WAITING_MAX

    def put(self, mail: Mail) -> bool:
        """
        Take a mail and return at once whether there was room.

        A mail to the same address that still waits is dropped: asking again has voided its link.
        """
        if self.full:
            self._note(FULL, mail, self._log.error)
            return False
        self.waiting += 1
        self._newest[mail.to] = mail.key
        self._queue.put_nowait(_Job(mail))
        return True

    async def run(self) -> None:
        """Send for ever, a few at a time."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
            await self.transport.close()

    async def _work(self) -> None:
        """Try one mail after the other."""
        while True:
            job = await self._queue.get()
            await self._try(job._replace(tries=job.tries + 1))

    async def _try(self, job: _Job) -> None:
        """Try a mail once: it ends, or waits for its next try."""
        mail = job.mail
        if self._newest.get(mail.to) != mail.key:
            self._end(job, SUPERSEDED, self._log.info)
            return
        if self._now_us() >= mail.expires_us:
            self._end(job, EXPIRED, self._log.error)
            return
        try:
            await self.transport.send(mail)
        except MailFailed as error:
            failure = error
        except OSError as error:
            failure = MailFailed(type(error).__name__)
        except Exception:
            self._log.exception("mail_mistake", mail=mail.key, transport=self.transport.name)
            failure = MailFailed("a mistake of ours", final=True)
        else:
            self._end(job, SENT, self._log.info)
            return
        if failure.final:
            self._end(job, FAILED, self._log.error, reason=failure.reason)
        else:
            self._again(job, failure)

    def _again(self, job: _Job, failure: MailFailed) -> None:
        """Let a mail wait for its next try, unless its link would have expired by then."""
        mail = job.mail
        wait_s = max(pause_s(job.tries, self._randbits(CHANCE_BITS) / 2**CHANCE_BITS), failure.wait_s)
        if self._now_us() + wait_s * 1_000_000 >= mail.expires_us:
            self._end(job, EXPIRED, self._log.error, reason=failure.reason)
            return
        # A timer, not a sleeping worker: four addresses that nobody takes mail for must not hold up all others.
        call_later = self._call_later or asyncio.get_running_loop().call_later
        self._timers[mail.key] = call_later(wait_s, self._due, job)
        self._note(RETRIED, mail, self._log.warning, tries=job.tries, reason=failure.reason, wait_s=round(wait_s, 1))

    def _due(self, job: _Job) -> None:
        """Put a mail back into the queue."""
        self._timers.pop(job.mail.key, None)
        self._queue.put_nowait(job)

    def _end(self, job: _Job, outcome: str, say: Callable[..., None], **fields: Any) -> None:
        """Forget a mail."""
        self.waiting -= 1
        assert self.waiting >= 0
        if self._newest.get(job.mail.to) == job.mail.key:
            del self._newest[job.mail.to]
        self._note(outcome, job.mail, say, tries=job.tries, **fields)

    def _note(self, outcome: str, mail: Mail, say: Callable[..., None], **fields: Any) -> None:
        """Count and say what became of a mail."""
        assert outcome in OUTCOMES
        self.outcomes[outcome] += 1
        say(f"mail_{outcome}", mail=mail.key, transport=self.transport.name, **fields)
