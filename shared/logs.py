"""One JSON line per fact on stderr, with named fields and no secrets."""

import contextlib
import datetime
import logging
import os
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

from shared import clock

# Field names whose values never reach a log, whoever passes them.
SECRET_NAMES = frozenset({"authorization", "cookie", "email", "link", "password", "secret", "token", "url"})
STDERR = 2  # its descriptor
FOREIGN_LENGTH_MAX = 500  # of what a library says


def logger(process: str, level: str = "info") -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one process: `log.info("snapshot_durable", seq=57)` is one JSON line."""
    minimum = logging.getLevelNamesMapping().get(level.upper())
    assert minimum is not None, f"no such log level: {level}"
    return structlog.wrap_logger(
        structlog.BytesLogger(Lines(STDERR)),  # type: ignore[arg-type]
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            fields_redact,
            structlog.processors.JSONRenderer(serializer=line_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        cache_logger_on_first_use=True,
    ).bind(process=process)


class Lines:
    """
    Where lines go: one that cannot be written is lost, never the work of whoever says it.

    Nothing is kept back, so that a full disk does not change the exit code either.
    """

    def __init__(self, descriptor: int) -> None:
        """Keep where to write."""
        self._descriptor = descriptor
        self._torn = False  # the last line has no end

    def write(self, line: bytes) -> None:
        """Write a line, on a line of its own."""
        whole = b"\n" + line if self._torn else line
        with contextlib.suppress(OSError):
            self._torn = os.write(self._descriptor, whole) < len(whole)

    def flush(self) -> None:
        """Do nothing: all is written."""


class Foreign(logging.Handler):
    """Turns what libraries log into lines of ours, so that a log holds nothing else."""

    def __init__(self, log: Any) -> None:
        """Keep where the lines go."""
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; what a stranger's broken request makes the server say is told at level debug alone."""
        strange = record.name.startswith("uvicorn") and record.levelno < logging.ERROR
        write = (
            self._log.debug if strange else self._log.error if record.levelno >= logging.ERROR else self._log.warning
        )
        text = record.getMessage()[:FOREIGN_LENGTH_MAX]
        write("library", name=record.name, text=text, **({"exc_info": record.exc_info} if record.exc_info else {}))


def foreign_take(log: Any) -> None:
    """Have everything that libraries log in this process written as lines of ours."""
    root = logging.getLogger()
    root.handlers = [Foreign(log)]
    root.setLevel(logging.WARNING)


def fields_redact(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the fields with secrets replaced and with the time of the line in front."""
    now = datetime.datetime.fromtimestamp(clock.now_us() / 1_000_000, tz=datetime.UTC)
    line: dict[str, Any] = {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    line["level"] = fields.pop("level", "info")
    line["process"] = fields.pop("process", "")
    line["event"] = fields.pop("event", "")
    for name, value in fields.items():
        line[name] = "[hidden]" if name.lower() in SECRET_NAMES and value else value
    return line


def line_encode(fields: Any, **_options: Any) -> bytes:
    """Return one log line as JSON bytes; what JSON does not know is written as its text."""
    return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS)
