"""
Several engines of one venue under one supervisor: what they are called, how many are wanted, who of them leads.

What speaks to Redis imports its client when it is called: a start must not wait for that.
"""

import asyncio
import contextlib

WANTED_RETRY_S = 1.0
ANSWER_S = 2.0


def names(count: int) -> list[str]:
    """Return what the engines are called, in the ready file and by their logs; any of them may lead."""
    return ["engine", *(f"engine{number}" for number in range(2, count + 1))]


async def wanted_keep(redis_url: str, venue: str, count: int) -> None:
    """Write down how many engines are kept up, so that /ready can say that one is missing; tries until it is there."""
    while True:
        if await asyncio.to_thread(wanted_write, redis_url, venue, count):
            return
        await asyncio.sleep(WANTED_RETRY_S)


def wanted_write(redis_url: str, venue: str, count: int) -> bool:
    """Return whether the number of wanted engines is in Redis now."""
    from shared.streams import Keys, Streams, StreamsError

    streams = Streams(redis_url)
    try:
        streams.set_json(Keys(venue).engines_wanted, count)
        return True
    except StreamsError:
        return False
    finally:
        streams.close()


async def stop_order(redis_url: str, venue: str | None, pids: dict[str, int]) -> list[str]:
    """Return the engines in the order to stop them: standbys first, or the leader's leaving promotes one of them."""
    leader = 0
    if venue and len(pids) > 1:
        with contextlib.suppress(TimeoutError):
            leader = await asyncio.wait_for(asyncio.to_thread(leader_pid, redis_url, venue), ANSWER_S)
    return sorted(pids, key=lambda name: (pids[name] == leader and leader > 0, name == "engine", name))


def leader_pid(redis_url: str, venue: str) -> int:
    """Return the process id of the engine that leads, 0 when none says so."""
    from shared.streams import Keys, Streams, StreamsError

    streams = Streams(redis_url)
    try:
        beat = streams.get_json(Keys(venue).process("engine"))
    except StreamsError:
        return 0
    finally:
        streams.close()
    return int(beat.get("pid") or 0) if isinstance(beat, dict) else 0
