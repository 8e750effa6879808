"""One JSON line per fact on stderr, with named fields and no secrets."""

import datetime
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

from shared import clock

# Field names whose values never reach a log, whoever passes them.
SECRET_NAMES = frozenset({"authorization", "cookie", "email", "link", "password", "secret", "token", "url"})


def logger(process: str, level: str = "info") -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one process: `log.info("snapshot_durable", seq=57)` is one JSON line."""
    minimum = logging.getLevelNamesMapping().get(level.upper())
    assert minimum is not None, f"no such log level: {level}"
    return structlog.wrap_logger(
        structlog.BytesLogger(sys.stderr.buffer),
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
