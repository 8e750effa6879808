"""
The client library in our words: its options, what of its errors means a broken connection, its replies as values.

For the transports (`streams.py`, `streams_async.py`, `stream_aside.py`), which with this file are its only users.
"""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.stream_guard import Client, Request, ServerError, unanswered

CONNECT_TIMEOUT_S = 2.0

# The client takes these for lost connections; in truth the server answered, and applied nothing.
ANSWERED = (redis.exceptions.BusyLoadingError, redis.exceptions.AuthenticationError)
FAILED = (redis.exceptions.RedisError, OSError)
ERROR_REPLY = redis.exceptions.ResponseError
AWAY = ("LOADING", "NOAUTH")  # what the client takes for lost connections, as codes
CODES: dict[type[Exception], str] = {
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.AuthenticationError: "NOAUTH",
    redis.exceptions.ExecAbortError: "EXECABORT",
}
OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "driver_info": None,
    "retry": Retry(NoBackoff(), 0),  # the client's own would send an XADD twice
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
}


def server_error(error: Exception) -> ServerError:
    """Return an error reply by its code; the client strips those it knows from the text."""
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return ServerError(code, str(error))
    first, _, rest = str(error).partition(" ")
    return ServerError(first, rest) if first.isupper() and first.isalpha() else ServerError("ERR", str(error))


def reply_value(reply: Any) -> Any:
    """Return a reply with the error replies inside it as values."""
    if isinstance(reply, Exception):
        return server_error(reply)
    if isinstance(reply, list) and any(isinstance(item, Exception) for item in reply):
        return [reply_value(item) for item in reply]
    return reply


def failed(client: Client, request: Request, replies: list[Any], error: Exception) -> list[Any]:
    """Return the replies when the server did answer all the same; otherwise raise what is known."""
    if isinstance(error, ANSWERED) and len(replies) + 1 == len(request.commands):
        return [*replies, server_error(error)]
    client.lost()
    raise unanswered(request, error) from error
