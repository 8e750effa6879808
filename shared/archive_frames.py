"""
The bytes of an archive's file: concatenated zstd frames, one a flush, so that a torn end costs its last frame alone.

Each frame has a checksum. What is torn and what is damaged is told apart here: damage has whole frames behind it.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

READ_BYTES = 2**20
FRAME_START = b"\x28\xb5\x2f\xfd"
HEADER_BYTES_MIN = 6
BLOCK_HEADER_BYTES, CHECKSUM_BYTES = 3, 4


class Frame(NamedTuple):
    """One frame of a file: where it ends, and its whole lines."""

    end: int
    content: bytes

    @property
    def lines(self) -> list[bytes]:
        """Return its lines."""
        return self.content.splitlines()

    @property
    def last(self) -> bytes:
        """Return its last line."""
        return self.content[self.content.rfind(b"\n", 0, -1) + 1 :].rstrip(b"\n")

    @property
    def lines_count(self) -> int:
        """Return how many lines it has."""
        return self.content.count(b"\n")


def frame_pack(lines: list[bytes]) -> bytes:
    """Return lines as one frame."""
    options: dict[int, int] = {
        zstd.CompressionParameter.compression_level: 3,
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return zstd.compress(b"".join(lines), options=options)


def frames_read(path: Path, torn: bool = False) -> Iterator[Frame]:
    """
    Yield the whole frames of a file; ends where the last whole one does.

    Raises ValueError when bytes that are there are no frame; bytes that are merely missing at the end are no error.
    `torn`: rubbish behind the last whole frame is none either, for a power cut leaves that in a file that grows.
    """
    end = 0
    with path.open("rb") as file:
        rest = memoryview(b"")
        while True:
            while (size := frame_size(rest)) > 0 and (content := frame_unpack(rest[:size])) is not None:
                end, rest = end + size, rest[size:]
                yield Frame(end, content)
            if len(rest) < READ_BYTES and (more := file.read(READ_BYTES)):
                rest = memoryview(b"".join((rest, more)))
                continue
            # What is left is no whole frame, or a long one, or damage: taken bit by bit, as far as it goes.
            frame, parts = zstd.ZstdDecompressor(), []
            taken = 0
            while not frame.eof:
                piece: bytes | memoryview = rest or file.read(READ_BYTES)
                rest = memoryview(b"")
                if not piece:
                    # The file's end, or a frame torn off; a damaged one may seem to be torn and swallow whole ones.
                    if taken and frame_follows(path, end + 1, end + taken):
                        raise ValueError(f"the bytes from {end} on are no frame, and whole ones follow")
                    return
                taken += len(piece)
                try:
                    parts.append(frame.decompress(piece))
                except zstd.ZstdError as error:
                    if torn and not frame_follows(path, end + 1, None):
                        return
                    raise ValueError(f"the bytes from {end} on are no frame: {error}") from None
            rest = memoryview(frame.unused_data)
            end += taken - len(rest)
            yield Frame(end, b"".join(parts))


def frame_unpack(content: memoryview) -> bytes | None:
    """Return what the bytes of one frame hold, None when they are not exactly one whole frame."""
    frame = zstd.ZstdDecompressor()
    try:
        unpacked = frame.decompress(content)
    except zstd.ZstdError:
        return None
    return unpacked if frame.eof and not frame.unused_data else None


def frame_size(content: memoryview) -> int:
    """
    Return how many bytes the frame takes that the bytes begin with, as its blocks state; 0 when it is not whole here.

    Without it every frame would be handed over with all that was read behind it.
    """
    if len(content) < HEADER_BYTES_MIN or content[:4] != FRAME_START:
        return 0
    flags = content[4]
    single, checked = flags >> 5 & 1, flags >> 2 & 1
    at = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    while at + BLOCK_HEADER_BYTES <= len(content):
        block = int.from_bytes(content[at : at + BLOCK_HEADER_BYTES], "little")
        repeats = block >> 1 & 3 == 1  # a block of one byte over and over
        at += BLOCK_HEADER_BYTES + (1 if repeats else block >> 3)
        if block & 1:
            at += CHECKSUM_BYTES * checked
            return at if at <= len(content) else 0
    return 0


def frame_follows(path: Path, start: int, size: int | None) -> bool:
    """Return whether any whole frame begins at or behind a place of a file, of which only so many bytes count."""
    with path.open("rb") as file:
        file.seek(start)
        content = file.read() if size is None else file.read(size - start)
    at = content.find(FRAME_START)
    while at >= 0:
        decompressor = zstd.ZstdDecompressor()
        with contextlib.suppress(zstd.ZstdError):
            decompressor.decompress(memoryview(content)[at:])
            if decompressor.eof:
                return True
        at = content.find(FRAME_START, at + 1)
    return False
