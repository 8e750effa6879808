"""
A local server that speaks Backpack's WebSocket protocol: a synthetic market, or a recording at any speed.

As the venue does: subscriptions are not acknowledged, an unknown symbol is silence, an unknown stream type answers
error 4006 and an unreadable frame 4002 on a socket that stays open, protocol pings keep it alive.
`python -m poller.simulator --help` lists the options.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from poller.backpack import ERROR_PARSE, ERROR_STREAM
from poller.hub import Hub, Subscriber
from poller.playback import Go, RecordingPlayer, SyntheticPlayer
from poller.recording import RecordingError, Tape, recording_read
from poller.synthetic import ASSETS, synthetic_frames
from poller.timing import Timing
from shared.logs import logger

FEED_SIMULATED = "simulated"
STREAM_TYPES = frozenset(
    {"bookTicker", "depth", "kline", "liquidation", "markPrice", "openInterest", "ticker", "trade"}
)
PING_INTERVAL_S = 60
PING_TIMEOUT_S = 120
# Above what a window of frames needs, so that a stopped reader never blocks the player inside a send.
WRITE_BUFFER_BYTES = 1 << 20
REQUEST_BYTES_MAX = 1 << 16
EXIT_OPTIONS = 2


def request_read(raw: str | bytes) -> tuple[str, list[str]] | None:
    """Return (method, streams) of a subscribe or unsubscribe frame, or None when it is neither."""
    try:
        request = orjson.loads(raw)
    except ValueError:
        return None
    if not isinstance(request, dict):
        return None
    method, streams = request.get("method"), request.get("params")
    if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not isinstance(streams, list):
        return None
    if not all(isinstance(stream, str) for stream in streams):
        return None
    return method, streams


def error_text(code: int, message: str) -> str:
    """Return an error frame; its id is always null."""
    return orjson.dumps({"error": {"code": code, "message": message}, "id": None}).decode()


async def converse(hub: Hub, connection: ServerConnection) -> None:
    """Serve one connection until it ends."""
    subscriber = Subscriber(connection)
    try:
        async for raw in connection:
            request = request_read(raw)
            if request is None:
                await connection.send(error_text(ERROR_PARSE, "Parse error"))
                continue
            method, streams = request
            known = [stream for stream in streams if stream.partition(".")[0] in STREAM_TYPES]
            if method == "SUBSCRIBE":
                hub.add(subscriber, known)
            else:
                subscriber.streams.difference_update(known)
            if len(known) < len(streams):
                await connection.send(error_text(ERROR_STREAM, "Invalid stream"))
    except ConnectionClosed:
        pass
    finally:
        hub.remove(subscriber)


class Options(argparse.Namespace):
    """The command line, read."""

    feed: str
    speed: float
    hold: bool
    loop: bool
    host: str
    port: int
    port_file: Path | None
    markets: tuple[str, ...]
    go_file: Path | None
    seed: int
    rate: float


def options_read(arguments: list[str] | None = None) -> Options:
    """Return the options; ends the process with a sentence when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m poller.simulator", description="A local Backpack.")
    parser.add_argument("--feed", default=FEED_SIMULATED, help="'simulated', or a recording FILE.jsonl[.gz]")
    parser.add_argument("--speed", type=float, default=1.0, help="gaps are divided by it; 0: as fast as it is read")
    parser.add_argument("--hold", action="store_true", help="first quotes and marks only, until the go-file exists")
    parser.add_argument("--loop", action="store_true", help="start the recording again at its end")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--port-file", type=Path, help="where the port is written once the server listens")
    parser.add_argument("--markets", type=lambda text: tuple(text.split(",")), default=tuple(ASSETS))
    parser.add_argument("--go-file", type=Path, help="the file whose appearance ends the hold")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic market; 0: a new one each time")
    parser.add_argument("--rate", type=float, default=8.0, help="quotes a second and market of the synthetic market")
    options = parser.parse_args(arguments, namespace=Options())
    if options.hold and options.go_file is None:
        parser.error("--hold needs --go-file")
    if options.speed < 0 or options.rate <= 0:
        parser.error("--speed must not be negative, --rate must be positive")
    if options.feed == FEED_SIMULATED and options.speed == 0:
        parser.error("--speed 0 is for recordings; the synthetic market never ends")
    return options


def player_make(options: Options, hub: Hub, timing: Timing) -> RecordingPlayer | SyntheticPlayer:
    """Return what plays the chosen feed; raises RecordingError."""
    go: Go | None = options.go_file.exists if options.hold and options.go_file is not None else None
    if options.feed == FEED_SIMULATED:
        seed = options.seed or random.SystemRandom().randrange(1, 2**32)
        frames = synthetic_frames(seed, options.markets, options.rate)
        return SyntheticPlayer(frames, hub, timing, options.speed, go)
    tape = Tape(recording_read(Path(options.feed)), options.hold, options.loop)
    return RecordingPlayer(tape, hub, timing, options.speed, go)


async def simulate(options: Options, stop: asyncio.Event, timing: Timing, log: Any) -> int:
    """Serve until `stop` is set; return the exit code."""
    hub = Hub()
    try:
        player = player_make(options, hub, timing)
    except RecordingError as error:
        log.error("recording_unusable", why=str(error))
        return EXIT_OPTIONS
    async with serve(
        lambda connection: converse(hub, connection),
        options.host,
        options.port,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
        close_timeout=1,
        max_size=REQUEST_BYTES_MAX,
        write_limit=WRITE_BUFFER_BYTES,
        server_header=None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        if options.port_file is not None:
            port_write(options.port_file, port)
        log.info("simulator_listens", port=port, feed=options.feed, speed=options.speed, hold=options.hold)
        play = asyncio.create_task(player.run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([play, stopped], return_when=asyncio.FIRST_COMPLETED)
        if play.done():
            play.result()  # it plays for ever: this raises
        play.cancel()
    return 0


def port_write(path: Path, port: int) -> None:
    """Write the port so that a reader sees all of it or nothing."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(f"{port}\n")
    part.replace(path)


async def main_async(options: Options) -> int:
    """Simulate until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await simulate(options, stop, Timing(), logger("simulator"))


if __name__ == "__main__":
    sys.exit(asyncio.run(main_async(options_read())))
