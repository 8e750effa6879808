"""
A refusal: this process must not go on, and neither may its restart, so it is written down before the process exits.

Three places, because each can be lost alone: a file in the data folder, a row in Postgres, a key in Redis. Whoever
finds one appends, leads, publishes and snapshots nothing; only a person removes it.
"""

import os
from pathlib import Path
from typing import Any

import orjson

REFUSAL_FILE = "refused.json"
EXIT_REFUSED = 78
EXIT_BORDER = 79  # an engine that gave way to a build of newer rules; lasting, as a refusal is
REFUSAL_INSERT = "INSERT INTO refusals (venue, process, reason) VALUES ($1, $2, $3)"
REFUSAL_SELECT = "SELECT reason FROM refusals WHERE venue = $1 ORDER BY at DESC LIMIT 1"

WAY_OUT = (
    "Stop every process of this venue (Ctrl-C in ./scripts/run), then: ./scripts/tidemark log restore --dry-run shows"
    " what it would bring back from the archive, without --dry-run it does it and removes the refusal ({file}, {key},"
    " the row in `refusals`). ./scripts/tidemark reset ends this venue instead, and the next start founds a new one."
)


class Refusal(Exception):
    """This process must not go on; `reason` says why in exact numbers."""

    def __init__(self, text: str, **numbers: Any) -> None:
        super().__init__(text)
        self.reason: dict[str, Any] = {"text": text, **numbers}


class LogRestored(Exception):
    """`tidemark log restore` ran while this process slept: what it remembers may be what was lost; start it again."""


class RefusalStands(Exception):
    """A refusal is written down already, by whomever; `place` says where it was found."""

    def __init__(self, reason: Any, place: str) -> None:
        super().__init__(
            f"a refusal stands ({place}): {reason.get('text', reason) if isinstance(reason, dict) else reason}"
        )
        self.reason = reason
        self.place = place


def refusal_file_read(data_dir: Path) -> dict[str, Any] | None:
    """Return the refusal in the data folder, None when there is none; one that cannot be read is one all the same."""
    path = data_dir / REFUSAL_FILE
    try:
        reason = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, OSError):
        reason = None
    return reason if isinstance(reason, dict) else {"text": f"{path} is there, but cannot be read"}


def refusal_file_write(data_dir: Path, reason: dict[str, Any]) -> Path:
    """Return the refusal's file once it is on the disk for good."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / REFUSAL_FILE
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(orjson.dumps(reason, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
