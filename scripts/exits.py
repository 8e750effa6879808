"""
How a tool ends: one exit code and one sentence for everything that can go wrong, never a traceback.

0 fine; 1 it found a difference; 2 impossible: absent, unreachable, damaged, a wrong id; 3 it must not: the venue runs,
a refusal stands, no permission; 130 Ctrl-C. The sentence says what to do next.
"""

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import click

from scripts.access import AccessError
from scripts.supervisor import VenueError
from shared.database import DatabaseError
from shared.refusal import Refusal, RefusalStands
from shared.settings import SettingsError
from shared.streams import StreamsError

EXIT_DIFFERENT = 1
EXIT_IMPOSSIBLE = 2
EXIT_MUST_NOT = 3
EXIT_INTERRUPTED = 130

P = ParamSpec("P")


class ToolStop(Exception):
    """A tool cannot go on; the text is one sentence that says what to do, the code is how it exits."""

    def __init__(self, text: str, code: int = EXIT_IMPOSSIBLE) -> None:
        super().__init__(text)
        self.code = code


def ending(function: Callable[P, int | None]) -> Callable[P, NoReturn]:
    """
    Return the command that exits with what the function returns, or with the sentence and code of what it raised.

    Stands right above the function, below click's own decorators.
    """

    @functools.wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> NoReturn:
        try:
            code = function(*arguments, **options) or 0
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            found = stop_of(error)
            if found is None:
                raise
            text, code = found
            name = click.get_current_context().command_path
            if text:
                click.echo(f"{name}: {text}", err=True)
        sys.exit(code)

    return run


def stop_of(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit code of what was raised, None for a fault of ours."""
    if isinstance(error, ToolStop):
        return str(error), error.code
    if isinstance(error, KeyboardInterrupt):
        return "stopped; nothing was changed", EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever reads us had enough (`| head`); what is left must not be flushed into the closed pipe.
        sys.stdout = None  # type: ignore[assignment]
        return "", EXIT_IMPOSSIBLE
    if isinstance(error, PermissionError):
        what = error.filename or error
        return f"no permission for {what}: run it as the user who owns the venue's folder", EXIT_MUST_NOT
    return stop_of_store(error)


def stop_of_store(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit code of what a store, a document or the machine's disk said."""
    from engine.documents import DocumentUnreadable
    from engine.recovery import BorderNeeded, RulesUnknown
    from shared.archive import ArchiveDamaged

    if isinstance(error, AccessError):
        held = isinstance(error.__cause__, PermissionError | VenueError)
        return str(error), EXIT_MUST_NOT if held else EXIT_IMPOSSIBLE
    if isinstance(error, RefusalStands):
        return f"{error}; `./scripts/tidemark doctor` says what helps", EXIT_MUST_NOT
    if isinstance(error, Refusal):
        return f"{error}; `./scripts/tidemark log restore --dry-run` shows what can be mended", EXIT_IMPOSSIBLE
    if isinstance(error, DocumentUnreadable):
        return f"the snapshot cannot be believed: {error}; `./scripts/tidemark recovery-plan` names others", (
            EXIT_IMPOSSIBLE
        )
    if isinstance(error, ArchiveDamaged):
        return f"the archive is damaged: {error}; `./scripts/tidemark archive verify` looks at all of it", (
            EXIT_IMPOSSIBLE
        )
    if isinstance(error, RulesUnknown | BorderNeeded):
        return f"{error}; use the build that wrote it", EXIT_IMPOSSIBLE
    if isinstance(error, SettingsError):
        return str(error), EXIT_IMPOSSIBLE
    if isinstance(error, StreamsError):
        return f"Redis does not answer: {error}; `./scripts/tidemark doctor` looks at it", EXIT_IMPOSSIBLE
    if isinstance(error, DatabaseError):
        return f"Postgres does not answer: {error}; `./scripts/tidemark doctor` looks at it", EXIT_IMPOSSIBLE
    if isinstance(error, OSError):
        return f"{error}; name another folder or file, or make it readable", EXIT_IMPOSSIBLE
    return None
