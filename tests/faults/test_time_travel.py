"""Any past moment is shown as it was recorded live; what if nothing had been different; a capsule runs elsewhere."""

import asyncio
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.documents import files_list
from engine.ingest import Machine
from scripts import embedded
from scripts.capsule_file import capsule_bytes, capsule_read
from scripts.what_if import Change, Difference, WhatIfError, what_if
from shared.archive import entry_of_line
from shared.stream_keys import Entry
from tests.faults.time_travel_scene import ACCOUNTS, MARKET, Lived, lived_scene, shown
from tests.integration.conftest import TEMPLATE, Servers, statement_run
from tests.integration.tools_scene import answer, tidemark

QUESTIONS = int(os.environ.get("TIDEMARK_TEST_QUESTIONS", "60"))
ROOT = Path(__file__).resolve().parents[2]
SEED = 77
DATABASE = "test_time_travel"
FEES = 3
PR_SET_THP_DISABLE = 41
COPIED = ("engine", "shared", "scripts")
# Whoever runs a capsule has no client of a server and no framework installed.
GATE = """
import sys
class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("redis", "hiredis", "asyncpg", "starlette", "uvicorn", "msgspec", "numba"):
            raise ImportError("not for a capsule: " + name)
sys.meta_path.insert(0, Gate())
import json
from pathlib import Path
from scripts.capsule_file import capsule_read, capsule_run, difference_first
held = capsule_read(Path(sys.argv[1]))
ran = capsule_run(held)
difference = difference_first(held.expected, ran, held.header["from"])
print(json.dumps({**ran._asdict(), "expected": held.expected, "difference": difference}))
"""


@pytest.fixture(scope="module")
def lived(embedded_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """Lend one venue that has lived to all tests of this file; with small pages its states are restored at once."""
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    asyncio.run(statement_run(embedded_servers.sockets, f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}"))
    url = embedded.database_url(embedded_servers.sockets, DATABASE)
    yield from lived_scene(tmp_path_factory.mktemp("lived"), url)
    asyncio.run(statement_run(embedded_servers.sockets, f"DROP DATABASE {DATABASE} WITH (FORCE)"))
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)


def test_the_venue_has_lived(lived: Lived) -> None:
    """The questions are worth asking: fills, stops that fired, several snapshots, a few hundred entries."""
    events = b"".join(entry.data for entry in lived.events)
    assert len(lived.entries) > 500
    assert len(files_list(lived.data_dir / "snapshots")) > 2
    for kind, least in (("fill", 50), ("trigger_fired", 3), ("closed_position", 10), ("closed_order", 20)):
        assert events.count(f'"e":"{kind}"'.encode()) >= least, kind


def question(lived: Lived, chance: random.Random) -> tuple[list[Any], int, Any]:
    """Return one question, its account, and which events had happened at that moment."""
    account = chance.choice(ACCOUNTS)
    if chance.random() < 0.5:
        time_us = chance.choice(lived.events[3:]).log_time_us + chance.choice((0, 0, 1, 999))
        if time_us <= lived.events[-1].log_time_us:
            words = ["snapshot", "account", account, "--at", time_us_text(time_us)]
            return words, account, lambda entry: entry.log_time_us <= time_us
    seq = chance.randrange(1, lived.tip + 1)
    if chance.random() < 0.2:
        words = ["replay", "--from", chance.randrange(seq + 1), "--to", seq, "--account", account]
    else:
        words = ["snapshot", "account", account, "--seq", seq]
    return words, account, lambda entry: entry.seq <= seq


def time_us_text(time_us: int) -> str:
    """Return a time with all its digits, in UTC."""
    seconds, rest = divmod(time_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


@pytest.mark.timeout(120 + QUESTIONS)
def test_any_past_moment_is_as_it_was_recorded_live(lived: Lived) -> None:
    """Random (account, moment) questions are answered as the events told it that were published at the time."""
    chance, known = random.Random(SEED), 0
    for _ in range(QUESTIONS):
        words, account, holds = question(lived, chance)
        told = lived.told(account, holds)
        result = tidemark(*words, "--json", data=lived.data_dir)
        if told is None:
            assert result.exit_code == 2, (words, result.output)
            continue
        assert result.exit_code == 0, (words, result.output)
        found = json.loads(result.stdout)
        assert shown(found.get("account") if words[0] == "replay" else found) == told, words
        known += 1
    assert known > QUESTIONS // 2


def asked(lived: Lived, change: Change, last_seq: int | None = None) -> Difference:
    """Return what would have been different from the first entry on."""

    def read(after_seq: int, count: int) -> list[Entry]:
        return lived.entries[after_seq : after_seq + count]

    return what_if(Machine, read, last_seq or lived.tip, change)


def test_no_change_makes_no_difference(lived: Lived) -> None:
    """The log applied twice gives the same twice: by this build, and by a process of a checkout of it."""
    assert asked(lived, Change()).accounts == {}
    found = answer("replay", "--engine", ROOT, data=lived.data_dir)
    assert found["accounts"] == {}
    assert (found["first_seq"], found["last_seq"]) == (1, lived.tip)
    seq = files_list(lived.data_dir / "snapshots")[-1][0]
    assert answer("replay", "--engine", ROOT, "--from", seq, data=lived.data_dir)["first_seq"] == seq + 1


def test_other_fees_change_fees_and_balances_alone(lived: Lived) -> None:
    """With doubled taker fees the same is traded, and what accounts pay more is what the fee account has more."""
    operation = f"market_set {MARKET} fee_taker_ppm=900"
    result = tidemark("replay", "--with", operation, "--json", data=lived.data_dir)
    assert result.exit_code == 1, result.output
    accounts = {int(number): rows for number, rows in json.loads(result.stdout)["accounts"].items()}
    assert set(ACCOUNTS) & accounts.keys()
    assert FEES in accounts
    more = {
        account: Decimal(rows["fees"][1]) - Decimal(rows["fees"][0])
        for account, rows in accounts.items()
        if "fees" in rows
    }
    assert all(each > 0 for each in more.values())
    before, after = (Decimal(each) for each in accounts[FEES]["free"])
    assert after - before == sum(more.values())
    text = tidemark("replay", "--with", operation, data=lived.data_dir)
    assert "fees" in text.stdout


def test_without_an_account_the_others_keep_their_numbers(lived: Lived) -> None:
    """An account that had been idle has no fills and all its money; nobody else's trades are different."""
    difference = asked(lived, Change(without=(100,)))
    rows = difference.accounts[100]
    assert rows["fills"][0] > 0
    assert rows["fills"][1] == 0
    assert rows["free"][1] == "5000"
    assert rows.get("positions", ("", "none"))[1] == "none"
    assert not {101, 102} & difference.accounts.keys()
    nobody = asked(lived, Change(without=(999,)))
    assert nobody.accounts == {}
    assert nobody.notes == [f"account 999 sent nothing in the entries 1 to {lived.tip:,}"]


def test_what_cannot_be_put_in_is_said(lived: Lived) -> None:
    """An operation that is none, refused or unreadable ends with its reason, and a folder without a core as well."""
    for text, words in (
        ("market_halt NO_SUCH_MARKET", "MARKET_UNKNOWN"),
        ("sell everything", "names no operation"),
        ('{"op":', "no JSON"),
    ):
        with pytest.raises(WhatIfError, match=words):
            asked(lived, Change(operations=(text,)))
    result = tidemark("replay", "--engine", lived.data_dir, data=lived.data_dir)
    assert result.exit_code == 2
    assert "no engine/core" in result.output


@pytest.mark.parametrize("first_seq", [1, 173])
def test_a_capsule_gives_the_same_hashes_elsewhere(lived: Lived, tmp_path: Path, first_seq: int) -> None:
    """Made here, run interpreted from a copy of the tree with no client and no server: every hash as it was."""
    file = tmp_path / "incident.capsule"
    last_seq = lived.tip - 20
    made = answer("capsule", "create", "--from", first_seq, "--to", last_seq, "-o", file, data=lived.data_dir)
    assert made["entries"] == last_seq - first_seq + 1
    assert made["checkpoints"] > 2
    elsewhere = tmp_path / "elsewhere"
    for name in COPIED:
        shutil.copytree(ROOT / name, elsewhere / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(elsewhere), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", GATE, str(file)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    ran = json.loads(done.stdout)
    assert ran["difference"] == ""
    assert ran["expected"]["events_from"] == "stream"
    machine = Machine()
    for at in range(0, last_seq, 500):
        machine.load(lived.entries[at : min(at + 500, last_seq)])
        while machine.step() is not None:
            pass
    assert [ran["state_hash"], ran["record_hash"]] == list(machine.hashes())
    words = tidemark("capsule", "run", file).stdout
    assert f"state {ran['state_hash'][:8]}… as expected" in words


def test_a_capsule_shows_where_it_differs(lived: Lived, tmp_path: Path) -> None:
    """One entry's content changed: exit code 1 and the first place; a bit changed: no capsule; so is any other file."""
    file, other = tmp_path / "a.capsule", tmp_path / "b.capsule"
    answer("capsule", "create", "--from", 1, "--to", lived.tip, "-o", file, data=lived.data_dir)
    held = capsule_read(file)
    entries = [entry_of_line(line) for line in held.entries]
    place = next(index for index, entry in enumerate(entries) if b'"trade_create"' in entry.fields[-1][1])
    name, value = entries[place].fields[-1]
    changed = Entry(place + 1, [*entries[place].fields[:-1], (name, value.replace(b'"0.002"', b'"0.003"'))])
    spoilt = [*entries[:place], changed, *entries[place + 1 :]]
    other.write_bytes(capsule_bytes(held.header, held.snapshot, iter(spoilt), held.expected))
    result = tidemark("capsule", "run", other)
    assert result.exit_code == 1
    assert "it differs" in result.output
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    other.write_bytes(content)
    assert tidemark("capsule", "run", other).exit_code == 2
    other.write_bytes(capsule_bytes({**held.header, "rules": 1}, held.snapshot, iter(entries), held.expected))
    result = tidemark("capsule", "run", other)
    assert result.exit_code == 2
    assert "checkout of that build" in result.output
    assert tidemark("capsule", "run", lived.data_dir / "ready.json").exit_code == 2
    assert tidemark("capsule", "create", "--from", 1, "--to", 5, "-o", file, data=lived.data_dir).exit_code == 2
