"""An answer's head and body leave in one write, and nothing that is written is ever lost or out of turn."""

import asyncio
from typing import Any

from gateway.one_write import OneWrite

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Bare:
    """A transport that keeps each write."""

    def __init__(self) -> None:
        """Nothing was written."""
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep one write."""
        assert not self.closed
        self.writes.append(data)

    def writelines(self, parts: Any) -> None:
        """Keep several parts, which are one write."""
        self.write(b"".join(parts))

    def close(self) -> None:
        """Close."""
        self.closed = True


def written(*steps: bytes | None) -> tuple[list[bytes], Bare]:
    """Return the writes that these become before the loop's next turn; None closes."""

    async def scene() -> tuple[list[bytes], Bare]:
        bare = Bare()
        transport = OneWrite(bare, asyncio.get_running_loop())
        for step in steps:
            if step is None:
                transport.close()
            else:
                transport.write(step)
        before = list(bare.writes)
        await asyncio.sleep(0)
        return before, bare

    return asyncio.run(scene())


def test_head_and_body_are_one_write() -> None:
    """What follows a head at once goes with it; the next pieces and the next answer are as they come."""
    writes, bare = written(HEAD, b"ok", b"more", HEAD, b"ok")
    assert writes == bare.writes == [HEAD + b"ok", b"more", HEAD + b"ok"]


def test_a_head_alone_waits_for_one_turn() -> None:
    """An answer without a body, or whose body comes later, is not held longer than until the loop's next turn."""
    writes, bare = written(b"early", HEAD)
    assert writes == [b"early"]
    assert bare.writes == [b"early", HEAD]


def test_closing_sends_what_was_kept() -> None:
    """A head stands before the end of its connection."""
    writes, bare = written(HEAD, None)
    assert writes == bare.writes == [HEAD]
    assert bare.closed
