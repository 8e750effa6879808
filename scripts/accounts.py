"""`tidemark account open`: accounts and sessions for tests and operators, through ordinary log entries."""

import asyncio
import os
import secrets as chance
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from gateway.identity import request_id_fresh
from gateway.instructions import Instruction
from gateway.schemas import ACCOUNT_OPEN
from gateway.sign_in.auth import session_issue
from gateway.sign_in.secret import SecretError, Secrets, secrets_read
from gateway.tail import events_read
from scripts import ready
from scripts.cli import data_option
from scripts.exits import ToolStop, ending
from shared import clock
from shared.codes import ResultCode
from shared.database import Database
from shared.streams import AppendStatus, Keys, StreamsAsync

BATCH = 250
COUNT_MAX = 100_000
SILENCE_S = 10.0
BLOCK_MS = 500
LABEL = "tidemark account open"
SESSION_INSERT = (
    "INSERT INTO sessions (jti, venue, account_id, created_us, expires_us, label) VALUES ($1, $2, $3, $4, $5, $6)"
)


class Opened(NamedTuple):
    """One account and its token, as a line of the file states them."""

    account: int
    token: str


@click.group()
def account() -> None:
    """Open accounts for tests and operators."""


@account.command("open")
@click.option("--count", type=click.IntRange(1, COUNT_MAX), default=1, show_default=True, help="How many accounts.")
@click.option(
    "--tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help='File for JSON lines {"account":101,"token":"…"}, for `Authorization: Bearer`.',
)
@data_option
@ending
def account_open(count: int, tokens: Path, data_dir: Path) -> None:
    """
    Open accounts with the starting balance, and a session of seven days for each.

    \b
    Examples:
      ./scripts/tidemark account open --tokens tokens.jsonl
      ./scripts/tidemark account open --count 1000 --tokens tokens.jsonl --data /srv/tidemark
    """
    running = ready.ready_read(data_dir)
    if running is None or not running.venue:
        raise ToolStop(f"no venue runs on {data_dir}; start one with ./scripts/run")
    try:
        secrets = secrets_read(data_dir / "secret", running.venue)
    except SecretError as error:
        raise ToolStop(f"{error}; is --data the folder of the venue that runs?") from error
    with Progress(console=Console(stderr=True), transient=True) as progress:
        opened = asyncio.run(open_accounts(running, secrets, count, progress))
    tokens_write(tokens, opened)
    click.echo(f"{len(opened)} accounts, {opened[0].account} to {opened[-1].account}; tokens in {tokens}", err=True)


async def open_accounts(running: ready.Ready, secrets: Secrets, count: int, progress: Progress) -> list[Opened]:
    """Return the opened accounts in the order of their numbers."""
    assert running.venue is not None
    streams = StreamsAsync(running.redis_url)
    database = await Database.connect(running.database_url)
    task = progress.add_task("Opening accounts", total=count)
    opened: list[Opened] = []
    try:
        async for account_ids in accounts_of_log(streams, Keys(running.venue), count):
            opened += await sessions_write(database, secrets, running.venue, account_ids)
            progress.update(task, completed=len(opened))
    finally:
        await database.close()
        await streams.close()
    return sorted(opened)


async def accounts_of_log(streams: StreamsAsync, keys: Keys, count: int) -> AsyncIterator[list[int]]:
    """Append all instructions, batch by batch, and yield the accounts as the engine names them."""
    position = await streams.events_tip(keys)
    waiting: set[str] = set()
    for first in range(0, count, BATCH):
        waiting |= await instructions_append(streams, keys, min(BATCH, count - first))
    heard_s = clock.monotonic_s()
    while waiting:
        entries = await streams.read_events(keys, position, BATCH, BLOCK_MS)
        account_ids: list[int] = []
        for entry in entries:
            position = (entry.seq, entry.chunk)
            for event in events_read(entry):
                if event.get("e") == "order_response" and event.get("request_id") in waiting:
                    waiting.discard(event["request_id"])
                    if event["result"] != ResultCode.OK.name:
                        raise ToolStop(f"the venue refused to open an account: {event['result']}; docs/api.md says why")
                    account_ids.append(int(event["account"]))
        if account_ids:
            heard_s = clock.monotonic_s()
            yield account_ids
        elif clock.monotonic_s() - heard_s > SILENCE_S:
            raise ToolStop(f"no answer to {len(waiting)} instructions; `./scripts/tidemark doctor` says who leads")


async def instructions_append(streams: StreamsAsync, keys: Keys, count: int) -> set[str]:
    """Append `count` instructions in one piece and return their request ids."""
    now_us = clock.now_us()
    instructions = [
        Instruction(0, request_id_fresh(now_us), ACCOUNT_OPEN.op, now_us, {"owner": chance.token_hex(16)})
        for _ in range(count)
    ]
    for appended in await streams.append_many(keys, [instruction.entry() for instruction in instructions]):
        if appended.status is not AppendStatus.ACCEPTED:
            raise ToolStop(f"the log did not take the instructions: {appended.reason}; see `./scripts/tidemark doctor`")
    return {instruction.request_id for instruction in instructions}


async def sessions_write(database: Database, secrets: Secrets, venue: str, account_ids: list[int]) -> list[Opened]:
    """Return a token for each account, its session written down first."""
    now_us = clock.now_us()
    issued = [session_issue(secrets, venue, account_id, now_us) for account_id in account_ids]
    rows = [
        (uuid.UUID(session.jti), venue, session.account_id, now_us, session.expires_us, LABEL)
        for session, _token in issued
    ]
    await database.executemany(SESSION_INSERT, rows)
    return [Opened(session.account_id, token) for session, token in issued]


def tokens_write(path: Path, opened: list[Opened]) -> None:
    """Replace the file at once; it is for its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(orjson.dumps(one._asdict()) + b"\n" for one in opened)
    temporary.replace(path)
