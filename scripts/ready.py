"""The ready file: what a running venue tells its tools, and how the supervisor learns that a part is up."""

import asyncio
import dataclasses
import json
import os
import time
import urllib.parse
from pathlib import Path
from typing import Any

EMAIL_OF_THE_LINK = "you@tidemark.local"
LOG_TIME_BEHIND_US = 4_000_000  # the venue calls 5 s early


@dataclasses.dataclass
class Ready:
    """Everything one needs to use a running venue; the file is replaced at each process start."""

    url: str = ""
    sign_in_url: str | None = None  # until /ready answers 200
    redis_url: str = ""
    database_url: str = ""
    venue: str | None = None  # until it is founded
    data_dir: str = ""
    feed: str = ""
    supervisor: int = 0
    pids: dict[str, int] = dataclasses.field(default_factory=dict)
    metrics: dict[str, str] = dataclasses.field(default_factory=dict)  # where each process shows them


def ready_write(path: Path, ready: Ready) -> None:
    """Replace the file at once: a reader sees the old or the new one, never half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        json.dump(dataclasses.asdict(ready), target, indent=2)
        target.write("\n")
    fresh.replace(path)


def targets_write(path: Path, ready: Ready) -> None:
    """Replace the file in which Prometheus looks for the pages of this venue's processes (deploy/prometheus.yml)."""
    targets = [
        {"targets": [urllib.parse.urlsplit(url).netloc], "labels": {"instance": name}}
        for name, url in ready.metrics.items()
    ]
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(targets, indent=2) + "\n")
    fresh.replace(path)


def ready_read(data_dir: Path) -> Ready | None:
    """Return what runs on this data folder; None when nothing does, also after a supervisor's sudden death."""
    try:
        ready = Ready(**json.loads((data_dir / "ready.json").read_text()))
    except PermissionError:
        raise  # somebody else's folder: nobody knows what runs there
    except (OSError, ValueError, TypeError):
        return None
    try:
        os.kill(ready.supervisor, 0)
    except PermissionError:
        return ready  # alive, and somebody else's
    except (OSError, TypeError, OverflowError):
        return None
    return ready


def data_dir_default() -> Path:
    """Return the data folder that ./scripts/run uses when it is told nothing."""
    stated = os.environ.get("TIDEMARK_DATA")
    return Path(stated).expanduser().absolute() if stated else Path(__file__).resolve().parent.parent / ".tidemark"


# ---- is it up? -------------------------------------------------------------------------------------------------------


async def redis_call(socket: Path, *words: str) -> str | None:
    """Return the one-line answer of the embedded Redis to one command; None while it cannot answer."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return None
    try:
        parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
        writer.write("".join(parts).encode())
        line = (await asyncio.wait_for(reader.readline(), 2)).decode()
        if line.startswith("$"):
            return None if line.startswith("$-1") else (await reader.readline()).decode().strip()
        return line.strip()
    except (OSError, TimeoutError):
        return None
    finally:
        writer.close()


async def redis_is_up(socket: Path) -> bool:
    """Return whether Redis takes commands; while it loads its file it says so and does not."""
    return await redis_call(socket, "PING") == "+PONG"


def postgres_is_up(data: Path, pid: int) -> bool:
    """Return whether this very server takes connections: it says so in its own pid file."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


async def http_call(url: str, body: dict[str, Any] | None = None, timeout_s: float = 3.0) -> tuple[int, Any]:
    """Return status and JSON body of one HTTP request; (0, None) when nobody answers."""
    parts = urllib.parse.urlsplit(url)
    payload = json.dumps(body).encode() if body is not None else b""
    head = [
        f"{'GET' if body is None else 'POST'} {parts.path or '/'} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Accept: application/json",
        "Connection: close",
    ]
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write("\r\n".join([*head, "", ""]).encode() + payload)
            answer = await reader.read()
            writer.close()
        status, _, rest = answer.partition(b"\r\n")
        content = rest.partition(b"\r\n\r\n")[2]
        return int(status.split()[1]), json_or_none(content)
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, None


async def trading_possible(url: str) -> None:
    """
    Return once some market has a fresh price and the venue's time is today's.

    After an outage log time stands still until two clock ticks agree; what is sent before that is early.
    """
    while True:
        _, body = await http_call(f"{url}/api/v1/market")
        for market in body.get("items", []) if isinstance(body, dict) else []:
            _, ticker = await http_call(f"{url}/api/v1/market/{market.get('market')}/ticker")
            if isinstance(ticker, dict) and ticker.get("fresh"):
                behind_us = time.time_ns() // 1_000 - int(ticker.get("log_time_us") or 0)
                if behind_us < LOG_TIME_BEHIND_US:
                    return
        await asyncio.sleep(0.05)


def json_or_none(content: bytes) -> Any:
    """Return the JSON of a body; None where there is none."""
    start = min((place for place in (content.find(b"{"), content.find(b"[")) if place >= 0), default=-1)
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(content[start:].decode())[0]
    except ValueError:
        return None


async def sign_in_link(url: str, data_dir: Path, timeout_s: float = 5.0) -> str | None:
    """Ask for a sign-in link as anybody would, and return it from the folder that holds the mails."""
    folder = data_dir / "mail"
    before = mails(folder)
    status, _ = await http_call(f"{url}/api/v1/auth", {"email": EMAIL_OF_THE_LINK})
    if status != 202:
        return None
    for _ in range(round(timeout_s / 0.02)):
        for _, path in sorted(mails(folder) - before, reverse=True):
            mail = json_or_none(path.read_bytes())
            if isinstance(mail, dict) and mail.get("to") == EMAIL_OF_THE_LINK and mail.get("link"):
                return str(mail["link"])
        await asyncio.sleep(0.02)
    return None


def mails(folder: Path) -> set[tuple[int, Path]]:
    """Return the mails that were kept, each with its time."""
    return {(path.stat().st_mtime_ns, path) for path in folder.glob("*.json")}
