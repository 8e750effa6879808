"""A founded, led venue in a real Redis, for the tests of the stream verbs."""

from shared.streams import AppendStatus, Fields, Keys, Streams, event_id

KEYS = Keys("streamtest")
TICK: Fields = [(b"ts", b"1"), (b"clock_tick", b"{}")]
ACCEPTED, REFUSED, UNKNOWN = AppendStatus.ACCEPTED, AppendStatus.REFUSED, AppendStatus.UNKNOWN


def lead(streams: Streams) -> None:
    """Name the server's run_id as the leading engine does."""
    streams.leader_write(KEYS, {"who": "x", "counter": 1, "run_id": streams.server_info()["run_id"]})


def found(url: str) -> Streams:
    """Return a client of a founded, led venue."""
    streams = Streams.connect(url)
    assert streams.genesis(KEYS, [(b"ts", b"1"), (b"genesis", b"{}")])
    streams.venue_set(KEYS.venue)
    lead(streams)
    return streams


def event(seq: int, previous: bytes, data: bytes = b"[]", chunk: int = 0) -> tuple[bytes, Fields]:
    """Return an events entry to publish."""
    return event_id(seq, chunk), [(b"t", b"7"), (b"p", previous), (b"a", b"101"), (b"d", data)]
