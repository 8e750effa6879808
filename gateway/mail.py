"""Where mails go: a folder of numbered files, in development the console too; nothing leaves the machine."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import orjson


class Mail(NamedTuple):
    """One mail with one link."""

    to: str
    link: str
    subject: str


def mail_print(mail: Mail) -> None:
    """Show a mail's link on the console; it is the development sink, not a log."""
    print(f"{mail.subject}: {mail.link}", file=sys.stdout, flush=True)


def mail_keep(_mail: Mail) -> None:
    """Show nothing: in production a log that held links would sign in whoever reads it."""


class MailFolder:
    """Writes each mail as `NNN.json` into a folder and shows its link."""

    def __init__(self, folder: Path, show: Callable[[Mail], None] = mail_print) -> None:
        """Keep where mails go."""
        self._folder = folder
        self._show = show

    def send(self, mail: Mail) -> Path:
        """Return the file that holds the mail, complete as soon as it has its name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = 1 + max((int(path.stem) for path in self._folder.glob("*.json") if path.stem.isdigit()), default=0)
        temporary = self._folder / f".{os.getpid()}.tmp"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(mail._asdict(), option=orjson.OPT_INDENT_2))
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
