"""
Every command as somebody would type it at three in the morning: a sentence that says what to do, never a traceback.

One table: command x {empty folder, wrong id, servers down, no permission, damaged file}, with the exit code each must
end with. Commands that change something are given nothing here that they could change.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from engine.documents import files_list
from scripts import cli
from tests.integration.tools_scene import ToolsVenue, tidemark

DEVELOPERS = {"bench"}  # measures this build; touches no venue
NOBODY = 65_534
HINT = re.compile(r"\./scripts/|--[a-z]|logs/|docs/|Usage:|\b(give|name) ")
SENTENCE_MAX = 700

# What a command is given besides --data, where it needs anything.
ARGUMENTS = {
    "run": ("--feed", "no-such-recording.jsonl"),
    "account open": ("--tokens", "{tmp}/tokens"),
    "user role": ("ada@example.org", "operator"),
    "snapshot account": ("101",),
    "snapshot triggers": ("BTC_USDC_PERP",),
    "snapshot diff": ("1", "now"),
    "snapshot export": ("-o", "{tmp}/export.json"),
    "snapshot watch": ("--lines", "1"),
    "why": ("account:101",),
    "capsule create": ("--from", "2", "--to", "9", "-o", "{tmp}/x.capsule"),
    "capsule run": ("{tmp}/missing.capsule",),
    "log restore": ("--dry-run",),
    "derive": ("--after", "1-0"),
    "reset": ("--yes",),
    "upgrade": ("--check",),
}
NO_VENUE_NEEDED = {"run", "doctor", "capsule run", "backtest"}  # end as they do elsewhere, whatever the folder holds
# Wrong ids and names: command, what is typed, exit code.
WRONG = [
    ("snapshot account", ("4711",), 2),
    ("snapshot account", ("abc",), 2),
    ("snapshot account", ("101", "--seq", "99999999"), 2),
    ("snapshot account", ("101", "--seq", "yesterday"), 2),
    ("snapshot account", ("101", "--at", "yesterday"), 2),
    ("snapshot account", ("101", "--at", "2099-01-01"), 2),
    ("snapshot account", ("101", "--at", "1999-01-01"), 2),
    ("snapshot account", ("101", "--seq", "5", "--at", "2026-11-20T10:00:03Z"), 2),
    ("snapshot orders", ("--account", "4711"), 2),
    ("snapshot positions", ("--account", "0"), 2),
    ("snapshot triggers", ("DOGE_USDC_PERP",), 2),
    ("snapshot triggers", ("BTC_USDC_PERP", "--near", "much"), 2),
    ("snapshot diff", ("nothing.json", "now"), 2),
    ("snapshot diff", ("5", "99999999"), 2),
    ("snapshot show", ("--file", "/nowhere/snapshot-1.json"), 2),
    ("snapshot export", ("-o", "/nowhere/at/all.json"), 2),
    ("snapshot nonsense", (), 2),
    ("replay", ("--to", "99999999"), 2),
    ("replay", ("--account", "4711"), 2),
    ("replay", ("--archive", "/nowhere"), 2),
    ("replay", ("--with", "market_explode"), 2),
    ("replay", ("--engine", "/nowhere"), 2),
    ("why", ("order:4711000",), 2),
    ("why", ("banana:1",), 2),
    ("why", ("",), 2),
    ("capsule create", ("--from", "5", "--to", "99999999"), 2),
    ("derive", ("--after", "banana"), 2),
    ("upgrade", (), 2),
    ("feed go", ("now",), 2),
    ("user role", ("nobody@example.org", "operator"), 2),
    ("user role", ("nobody", "operator"), 2),
    ("user role", ("nobody@example.org", "king"), 2),
    ("nonsense", (), 2),
]


class Leaf(NamedTuple):
    """One command of the tree."""

    words: str
    command: click.Command


def leaves() -> Iterator[Leaf]:
    """Yield every command that does something."""
    context = click.Context(cli.main)
    for name in cli.main.list_commands(context):  # type: ignore[attr-defined]
        command = cli.main.get_command(context, name)  # type: ignore[attr-defined]
        assert command is not None
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                yield Leaf(f"{name} {inner}", found)
        else:
            yield Leaf(name, command)


LEAVES = [leaf for leaf in leaves() if leaf.words.split()[0] not in DEVELOPERS]
NAMES = [leaf.words for leaf in LEAVES]


def typed(words: str, tmp_path: Path, data: Path, arguments: tuple[str, ...] | None = None) -> Any:
    """Return what a command answers when it is typed."""
    given = ARGUMENTS.get(words, ()) if arguments is None else arguments
    given = tuple(argument.format(tmp=tmp_path) for argument in given)
    takes_data = words not in ("nonsense", "snapshot nonsense", "capsule run", "run", "backtest")
    return tidemark(*words.split(), *given, data=data if takes_data else None)


def said(result: Any) -> str:
    """Assert that the end was told in a sentence that says what to do; return everything that was told."""
    told = str(result.output)
    assert "Traceback" not in told, told
    last = [line for line in result.stderr.splitlines() if line.strip()]
    assert last, f"nothing was said: exit code {result.exit_code}, {told!r}"
    assert len(last[-1]) < SENTENCE_MAX, last[-1]
    assert HINT.search(result.stderr), f"it does not say what to do: {result.stderr}"
    return told


@pytest.mark.parametrize("leaf", LEAVES, ids=NAMES)
def test_help_shows_two_examples(leaf: Leaf) -> None:
    """`--help` of every command ends with at least two lines that can be typed as they stand."""
    result = tidemark(*leaf.words.split(), "--help")
    assert result.exit_code == 0
    _, _, examples = result.stdout.partition("Examples:")
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("./scripts/")]
    assert len(lines) >= 2, result.stdout
    assert all(leaf.words.split()[-1] in line for line in lines), lines


def test_table_names_every_command() -> None:
    """What is tried below are commands that exist."""
    known = {*NAMES, "nonsense", "snapshot nonsense"}
    assert set(ARGUMENTS) <= known
    assert {words for words, _, _ in WRONG} <= known


@pytest.mark.parametrize("words", [name for name in NAMES if name not in NO_VENUE_NEEDED])
def test_empty_folder(words: str, tmp_path: Path) -> None:
    """A folder that is not there, or holds nothing, is named with what to do about it; nothing is made in it."""
    for data in (tmp_path / "nothing", tmp_path / "empty"):
        if data.name == "empty":
            data.mkdir()
        result = typed(words, tmp_path, data)
        assert result.exit_code == 2, (words, result.output)
        said(result)
        assert not data.exists() or not list(data.iterdir()), f"it left {list(data.iterdir())}"


@pytest.mark.parametrize(("words", "arguments", "code"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_id(words: str, arguments: tuple[str, ...], code: int, tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """An account, an entry, a market, a file that is not there: its name, and what would be right."""
    changes = words.split()[0] in ("derive", "log", "reset", "views", "upgrade")
    data = copied(tools_venue, tmp_path) if changes else tools_venue.data_dir
    result = typed(words, tmp_path, data, arguments)
    assert result.exit_code == code, (words, result.output)
    said(result)


def test_what_if_of_nobody_is_said(tools_venue: ToolsVenue) -> None:
    """Leaving out an account that never did anything is no difference, and its number is named."""
    result = tidemark("replay", "--without", "4711", data=tools_venue.data_dir)
    assert result.exit_code == 0, result.output
    assert "account 4711 sent nothing" in result.stderr


def copied(venue: ToolsVenue, tmp_path: Path) -> Path:
    """Return a copy of the stopped venue's folder."""
    return Path(shutil.copytree(venue.stopped, tmp_path / "copy"))


def servers_dead(venue: ToolsVenue, tmp_path: Path) -> Path:
    """Return a folder whose ready file names servers that do not answer."""
    data = copied(venue, tmp_path)
    dead = {"redis_url": f"unix://{tmp_path}/none.sock", "database_url": f"postgresql://nobody@/x?host={tmp_path}"}
    ready = {"url": "http://127.0.0.1:9", "venue": venue.keys.venue, "supervisor": os.getpid(), **dead}
    (data / "ready.json").write_text(json.dumps(ready))
    return data


# With the servers dead: who can still answer, from files and archive; who must not work beside a living supervisor.
FROM_FILES = {
    "snapshot show", "snapshot summary", "snapshot account", "snapshot orders", "snapshot positions",
    "snapshot triggers", "snapshot export", "snapshot verify", "snapshot diff", "replay", "why", "capsule create",
    "archive list", "archive verify", "feed go", "upgrade",
}  # fmt: skip
STOPPED_ONLY = {"log restore", "reset"}


@pytest.mark.parametrize("words", [name for name in NAMES if name not in NO_VENUE_NEEDED])
def test_servers_down(words: str, tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """Redis and Postgres do not answer although a venue seems to run: files answer, or it is said and exit code 2."""
    data = servers_dead(tools_venue, tmp_path)
    result = typed(words, tmp_path, data)
    codes = (0, 1) if words in FROM_FILES else (3,) if words in STOPPED_ONLY else (2,)
    assert result.exit_code in codes, (words, result.exit_code, result.output)
    if result.exit_code > 1:
        said(result)
    assert "Traceback" not in result.output


def test_doctor_with_servers_down(tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """The doctor names both servers as failing, each with its fix, and ends with 1."""
    result = tidemark("doctor", "--json", data=servers_dead(tools_venue, tmp_path))
    assert result.exit_code == 1
    failing = {check["name"]: check for check in json.loads(result.stdout) if check["state"] == "fail"}
    assert {"redis", "postgres"} <= failing.keys()
    assert all(check["fix"] for check in failing.values())


@pytest.mark.parametrize("words", [name for name in NAMES if name not in ("run", "capsule run", "backtest")])
def test_no_permission(words: str, tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """A folder of somebody else is named, with what to do; exit code 3."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    data = copied(tools_venue, tmp_path)
    data.chmod(0o700)
    code, told = as_nobody(words, tmp_path, data)
    assert "Traceback" not in told, told
    assert code == 3, (words, code, told)
    assert HINT.search(told) or "permission" in told.lower(), told


def as_nobody(words: str, tmp_path: Path, data: Path) -> tuple[int, str]:
    """Return exit code and words of a command typed by another user: in a fork, which has everything imported."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, told = 99, ""
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            result = typed(words, tmp_path, data)
            code, told = result.exit_code, result.output
        except BaseException as error:  # a fork of a test must end here, whatever happens
            told = f"Traceback: {error!r}"
        finally:
            os.write(writing, told.encode()[:60_000])
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), told


class Damage(NamedTuple):
    """One damaged thing, and what a command must end with."""

    what: str
    words: str
    arguments: tuple[str, ...]
    codes: tuple[int, ...]


DAMAGES = [
    Damage("snapshot", "snapshot show", ("--file", "{file}"), (2,)),
    Damage("snapshot", "snapshot account", ("101", "--file", "{file}"), (2,)),
    Damage("snapshot", "snapshot verify", ("--file", "{file}"), (1,)),
    Damage("snapshot", "snapshot verify", (), (1,)),
    Damage("snapshot", "snapshot summary", (), (0,)),
    Damage("snapshot", "snapshot diff", ("{file}", "now"), (2,)),
    Damage("snapshot", "recovery-plan", (), (0,)),
    Damage("snapshots", "snapshot show", (), (2,)),
    Damage("snapshots", "snapshot account", ("101", "--seq", "now"), (0,)),
    Damage("snapshots", "replay", ("--from", "99999"), (0,)),
    Damage("archive", "replay", ("--archive", "{data}/archive"), (2,)),
    Damage("archive", "snapshot summary", ("--archive", "{data}/archive", "--seq", "now"), (2,)),
    Damage("archive", "why", ("account:101", "--archive", "{data}/archive"), (2,)),
    Damage("archive", "archive verify", (), (1, 2)),
    Damage("aof", "replay", (), (0,)),
    Damage("aof and archive", "replay", (), (2,)),
    Damage("aof", "recovery-plan", (), (2,)),
    Damage("ready", "snapshot show", (), (0,)),
    Damage("ready", "account open", ("--tokens", "{data}/tokens"), (2,)),
    Damage("refusal", "recovery-plan", (), (1,)),
    Damage("refusal", "doctor", (), (1,)),
]


def damage(what: str, data: Path) -> Path:
    """Damage one thing in a folder; return the newest snapshot's file."""
    files = [path for _, path in files_list(data / "snapshots")]
    if what in ("snapshot", "snapshots"):
        for path in files[: None if what == "snapshots" else 1]:
            path.write_bytes(path.read_bytes()[:-1_000])
    elif what == "archive":
        [path] = list((data / "archive").glob("*/log-*.zst"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif what.startswith("aof"):
        if what != "aof":
            shutil.rmtree(data / "archive")
        for path in (data / "redis").rglob("*.incr.aof"):
            path.write_bytes(b"*3\r\n$3\r\nSE" + path.read_bytes()[7:])
    elif what == "ready":
        (data / "ready.json").write_text('{"url": 3, "supervisor"')
    else:
        (data / "refused.json").write_text("not json")
    return files[0]


@pytest.mark.parametrize("case", DAMAGES, ids=lambda case: f"{case.what}: {case.words} {' '.join(case.arguments)}"[:70])
def test_damaged_file(case: Damage, tools_venue: ToolsVenue, tmp_path: Path) -> None:
    """A damaged snapshot, archive, log, ready file or refusal is named; what is whole beside it is used."""
    data = copied(tools_venue, tmp_path)
    file = damage(case.what, data)
    arguments = tuple(argument.replace("{file}", str(file)).replace("{data}", str(data)) for argument in case.arguments)
    result = typed(case.words, tmp_path, data, arguments)
    assert result.exit_code in case.codes, (case, result.exit_code, result.output)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        said(result)
    assert not (data / "lock").exists()


def test_a_closed_pipe_is_silent(tools_venue: ToolsVenue) -> None:
    """Output that nobody reads to its end (`| head -1`) ends the command without a word."""
    import subprocess

    command = f"{sys.executable} -m scripts.cli snapshot orders --csv --data {tools_venue.data_dir} | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.startswith("order_id,")
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
