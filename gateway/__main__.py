"""
Build the gateway from settings and serve it.

It answers /health from its first second and says in /ready and in its log what it waits for; it opens its desk when
Redis names a venue, and ends when the pointer names another or a refusal stands.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys

from gateway.desk import Desk, Gateway, Parts
from gateway.limits import Limits
from gateway.mail_send import mail_fault, transport_build
from gateway.readiness import VenueLost
from gateway.server import server_build
from gateway.sign_in.secret import SecretError, secrets_read
from shared import clock
from shared.database import Database, DatabaseError
from shared.logs import foreign_take, logger
from shared.refusal import EXIT_REFUSED, REFUSAL_INSERT, WAY_OUT, Refusal, RefusalStands, refusal_file_write
from shared.rules import RULES_VERSION
from shared.settings import Settings, settings_read
from shared.streams import StreamsAsync, StreamsError

NAME = "gateway"
HEARTBEAT_S = 1.0
WAIT_S = 0.1
WAIT_SAID_S = 5.0
DATABASE_TIMEOUT_S = 2.0
FILES_WANTED = 8_192  # a usual limit of 1024 is less than the connections of a gateway
EXIT_OK, EXIT_VENUE_LOST, EXIT_CONFIGURATION = 0, 1, 64


async def parts_build(settings: Settings) -> Parts:
    """Return the real parts; nothing is connected before it is used."""
    return Parts(
        settings,
        StreamsAsync(settings.redis_url),
        StreamsAsync(settings.redis_url),
        await Database.connect(settings.database_url, timeout_s=DATABASE_TIMEOUT_S),
        transport_build(settings),
        clock.now_us,
        clock.monotonic_s,
        logger(NAME, settings.log_level),
        settled=memory_settle,
    )


def memory_settle() -> None:
    """Keep what is there by now: looking through it all again and again would hold up every answer, by tens of ms."""
    gc.collect()
    gc.freeze()


async def desk_wait(gateway: Gateway) -> Desk:
    """Return the open desk once there is a venue, saying meanwhile what is waited for."""
    parts = gateway.parts
    said_s = float("-inf")
    while True:
        try:
            venue = await parts.streams.venue()
            if venue is None:
                gateway.state["waiting"] = "for the venue to be founded"
            else:
                desk = Desk(parts, venue, secrets_read(parts.settings.secret_file, venue))
                await desk.open()
                return desk
        except StreamsError as error:
            gateway.state["waiting"] = f"for Redis: {type(error).__name__}"
        if parts.monotonic_s() - said_s >= WAIT_SAID_S:
            said_s = parts.monotonic_s()
            parts.log.info("waiting", what=gateway.state["waiting"])
        await asyncio.sleep(WAIT_S)


async def heartbeat_run(gateway: Gateway, desk: Desk) -> None:
    """Say every second that this process lives; that it could be written is what /ready calls writable."""
    since_us = gateway.parts.now_us()
    port = gateway.parts.settings.port
    name = f"{NAME}:{port}"  # there may be several
    while True:
        seq = desk.tail.position[0]
        payload = {
            "role": NAME,
            "pid": os.getpid(),
            "seq": seq,
            "lag": max(0, desk.watch.tip[0] - seq),
            "rules": RULES_VERSION,
            "since_us": since_us,
            "port": port,
            "metrics_port": port,
        }
        gateway.beat = {name: payload}
        try:
            await gateway.parts.streams.heartbeat(desk.keys, name, payload)
            desk.watch.wrote()
        except StreamsError:
            pass
        await asyncio.sleep(HEARTBEAT_S)


async def work(gateway: Gateway) -> None:
    """Open the desk and keep it running; returns only by an exception."""
    desk = await desk_wait(gateway)
    gateway.desk = desk
    gateway.parts.settled()
    gateway.parts.log.info("desk_open", venue=desk.venue, seq=desk.tail.position[0])
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.run())
        group.create_task(heartbeat_run(gateway, desk))


async def restored_meanwhile(gateway: Gateway) -> bool:
    """Return whether the log was restored since the desk opened: what this process remembers is then no reason."""
    desk = gateway.desk
    assert desk is not None
    try:
        return await gateway.parts.streams.restores(desk.keys) != desk.watch.restores
    except StreamsError:
        return False


async def refusal_write(gateway: Gateway, refusal: Refusal) -> None:
    """Write down in all three places that nothing may be trusted, before this process ends and forgets why."""
    desk = gateway.desk
    assert desk is not None
    parts = gateway.parts
    reason = refusal.reason | {"process": NAME, "venue": desk.venue, "time_us": parts.now_us()}
    path = refusal_file_write(parts.settings.data_dir, reason)
    parts.log.error("refused", **refusal.reason, help=WAY_OUT.format(file=path, key=desk.keys.refused))
    with contextlib.suppress(StreamsError):
        await parts.streams.set_json(desk.keys.refused, reason)
    with contextlib.suppress(DatabaseError):
        await parts.database.execute(REFUSAL_INSERT, desk.venue, NAME, reason)


async def work_result(gateway: Gateway, task: "asyncio.Task[None]") -> int:
    """Return the exit code that the end of the work means."""
    log = gateway.parts.log
    try:
        await task
    except asyncio.CancelledError:
        return EXIT_OK
    except SecretError as error:
        log.error("secret_unusable", reason=str(error))
        return EXIT_CONFIGURATION
    except BaseExceptionGroup as group:
        cause = _leaf(group.subgroup((Refusal, RefusalStands)) or group.subgroup(VenueLost) or group)
        if isinstance(cause, Refusal):
            if await restored_meanwhile(gateway):
                log.error("venue_lost", reason=f"the log was restored meanwhile: {cause}")
                return EXIT_VENUE_LOST
            await refusal_write(gateway, cause)
            return EXIT_REFUSED
        if isinstance(cause, RefusalStands):
            log.error("refusal_stands", reason=str(cause))
            return EXIT_REFUSED
        if isinstance(cause, VenueLost):
            log.error("venue_lost", reason=str(cause))
            return EXIT_VENUE_LOST
        raise
    return EXIT_OK


def _leaf(group: BaseException) -> BaseException:
    """Return the first plain exception of a group."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code."""
    gateway = Gateway(await parts_build(settings), Limits(settings.rate_limit_factor, clock.monotonic_s))
    server = server_build(gateway)
    work_task = asyncio.ensure_future(work(gateway))
    serve_task = asyncio.ensure_future(server.serve())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    gateway.parts.log.info("serving", host=settings.host, port=settings.port, mail=gateway.parts.mail.name)
    try:
        await asyncio.wait({work_task, serve_task}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serve_task
        work_task.cancel()
        return await work_result(gateway, work_task)
    finally:
        await gateway.parts.database.close()
        await gateway.parts.streams.close()
        await gateway.parts.streams_tail.close()
        gateway.parts.log.info("stopped")


def production_fault(settings: Settings) -> str:
    """Return why these settings may not serve other people, empty when they may."""
    if settings.environment == "production" and not settings.base_url.startswith("https://"):
        return "TIDEMARK_ENV=production needs a TIDEMARK_BASE_URL that begins with https://"
    return ""


def main() -> None:
    """Run the process."""
    settings = settings_read()
    fault = production_fault(settings) or mail_fault(settings)
    if fault:
        logger(NAME, settings.log_level).error("settings_unusable", reason=fault)
        sys.exit(EXIT_CONFIGURATION)
    files_allow()
    foreign_take(logger(NAME, settings.log_level))
    with asyncio.Runner(loop_factory=_loop) as runner:
        code = runner.run(run(settings))
    sys.exit(code)


def files_allow() -> None:
    """Let this process hold the connections that it promises to take, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _loop() -> asyncio.AbstractEventLoop:
    """Return the fast event loop."""
    import uvloop

    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
