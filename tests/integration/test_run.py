"""A whole venue under its supervisor: the link, restarts, the locks, the clean stop, no orphans."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import engines, plan, processes, supervisor
from shared.refusal import EXIT_BORDER, EXIT_REFUSED
from shared.streams import Keys, Streams
from tests.integration.conftest import REPOSITORY, VenueStart, process_end

PROCESSES = {"redis", "postgres", "simulator", "poller", "engine", "persister", "gateway"}


def get(url: str, token: str = "") -> Any:
    """Return the JSON of one answer."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def eventually(holds: Callable[[], bool], patience_s: float = 30.0) -> bool:
    """Return whether something becomes true in time."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def answers(url: str, token: str) -> bool:
    """Return whether the gateway shows the account's balance."""
    try:
        return bool(get(url, token)["items"])
    except OSError:
        return False


def answered(url: str, token: str) -> int:
    """Return the status of an answer, 0 without one."""
    try:
        get(url, token)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
    return 200


def is_ready(ready: dict[str, Any]) -> bool:
    """Return whether the venue takes instructions."""
    try:
        return bool(get(f"{ready['url']}/ready")["status"] == "ready")
    except OSError:
        return False


def alive(pid: int) -> bool:
    """Return whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_link_signs_in_and_kills_are_survived(venue_process: VenueStart, tmp_path: Path) -> None:
    """The printed link works, every process comes back under a new pid, and a second venue on the folder is refused."""
    ready = venue_process(data="one")
    assert set(ready["pids"]) == PROCESSES
    token = get(ready["sign_in_url"])["token"]
    balance = f"{ready['url']}/api/v1/account/balance"
    assert get(balance, token)["items"][0]["free"] == "5000.000000"
    assert eventually(lambda: answered(f"{ready['url']}/api/v1/ops", token) == 200), "whoever follows it is an operator"

    second = subprocess.run(
        [sys.executable, "-m", "scripts.cli", "run", "--data", ready["data_dir"]],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "another venue" in second.stderr

    for pid in ready["pids"].values():
        os.kill(pid, signal.SIGKILL)
    ready_file = tmp_path / "one.ready.json"

    def all_new() -> bool:
        pids = json.loads(ready_file.read_text())["pids"]
        return set(pids) == PROCESSES and not set(pids.values()) & set(ready["pids"].values())

    assert eventually(all_new)
    assert eventually(lambda: is_ready(ready) and answers(balance, token))
    assert get(balance, token)["items"][0]["free"] == "5000.000000"


def test_a_killed_supervisor_leaves_nothing_behind(venue_process: VenueStart, tmp_path: Path) -> None:
    """After SIGKILL of the supervisor its processes are gone, and the next start goes on with the same venue."""
    ready = venue_process(data="two")
    os.kill(ready["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not any(alive(pid) for pid in ready["pids"].values()), 10)
    again = venue_process(data="two")
    assert again["venue"] == ready["venue"]
    os.kill(again["supervisor"], signal.SIGINT)
    assert eventually(lambda: not any(alive(pid) for pid in again["pids"].values()), 15)
    assert eventually(lambda: not (tmp_path / "two" / "lock").exists(), 5)
    assert not (tmp_path / "two" / "ready.json").exists()


def supervisor_start(data_dir: Path, held_patience_s: float, log: Path) -> subprocess.Popen[bytes]:
    """Start a venue whose supervisor waits only so long for a server of an earlier one."""
    words = f"sys.exit(supervisor.main(plan.Options(pathlib.Path({str(data_dir)!r})), {held_patience_s}))"
    command = [sys.executable, "-c", f"import pathlib, sys; from scripts import plan, supervisor; {words}"]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
        )


def test_two_servers_never_share_a_folder(venue_process: VenueStart, tmp_path: Path) -> None:
    """A start that waits for a frozen server of an earlier one says so, and ends without taking its lock away."""
    ready = venue_process(data="three")
    data_dir, frozen, log = Path(ready["data_dir"]), ready["pids"]["redis"], tmp_path / "start.txt"
    lock = data_dir / "redis" / "lock"
    os.kill(frozen, signal.SIGSTOP)
    try:
        os.kill(ready["supervisor"], signal.SIGKILL)
        assert eventually(lambda: not any(alive(pid) for pid in ready["pids"].values() if pid != frozen), 10)
        before = lock.stat()
        second = supervisor_start(data_dir, 60.0, log)
        assert eventually(lambda: f"pid {frozen} holds its files" in log.read_text())
        second.send_signal(signal.SIGINT)
        assert process_end(second) == 0
        assert os.path.samestat(lock.stat(), before), "whoever does not hold a lock leaves it"
        assert not (data_dir / "postgres.lock").exists()
        third = supervisor_start(data_dir, 1.5, log)
        assert process_end(third) == 1
        assert f"an earlier redis server (pid {frozen}) still holds" in log.read_text()
        assert os.path.samestat(lock.stat(), before)
    finally:
        os.kill(frozen, signal.SIGKILL)
    again = venue_process(data="three")
    assert again["venue"] == ready["venue"]
    os.kill(again["supervisor"], signal.SIGINT)
    assert eventually(lambda: not (data_dir / "lock").exists(), 15)
    assert not lock.exists()
    assert not (data_dir / "postgres.lock").exists()


def roles(ready: dict[str, Any]) -> list[str]:
    """Return the roles of the engines that live, the leader's first."""
    try:
        return [engine["role"] for engine in get(f"{ready['url']}/ready")["engines"]]
    except OSError:
        return []


def events_of(ready: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the lines of a process's log."""
    lines = (Path(ready["data_dir"]) / "logs" / f"{name}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_standby_takes_over_and_stops_first(venue_process: VenueStart, tmp_path: Path) -> None:
    """With two engines a killed leader is followed by the other, /ready says who is who, and a stop promotes nobody."""
    ready = venue_process("--engines", "2", data="pair")
    assert set(ready["pids"]) == PROCESSES | {"engine2"}
    assert eventually(lambda: roles(ready) == ["leader", "standby"])
    names = {name for name in ("engine", "engine2") if any(leads(line) for line in events_of(ready, name))}
    assert len(names) == 1
    [first] = names
    [second] = {"engine", "engine2"} - names
    os.kill(ready["pids"][first], signal.SIGKILL)
    assert eventually(lambda: any(leads(line) for line in events_of(ready, second)), 5)
    assert eventually(lambda: roles(ready) == ["leader", "standby"])
    assert is_ready(ready)
    promotions = sum(leads(line) for name in (first, second) for line in events_of(ready, name))
    os.kill(ready["supervisor"], signal.SIGINT)
    assert eventually(lambda: not any(alive(pid) for pid in ready["pids"].values()), 20)
    assert sum(leads(line) for name in (first, second) for line in events_of(ready, name)) == promotions


def leads(line: dict[str, Any]) -> bool:
    """Return whether a line says that its engine took the lead."""
    return line.get("event") == "leader_promoted"


def test_the_leader_is_stopped_last(tmp_path: Path) -> None:
    """Whoever leads ends after the standbys; when nobody can be asked, the engine that was started first does."""
    url = f"unix://{tmp_path}/nobody.sock"
    pids = {"engine": 11, "engine2": 12, "engine3": 13}
    assert asyncio.run(engines.stop_order(url, "k3v9testxx", pids)) == ["engine2", "engine3", "engine"]
    assert asyncio.run(engines.stop_order(url, None, {"engine": 11})) == ["engine"]


def test_wanted_and_leader_are_read_and_written(redis_url: str) -> None:
    """The number of wanted engines stands in Redis, and the leader's heartbeat says which child is stopped last."""
    streams, keys = Streams(redis_url), Keys("k3v9testxx")
    try:
        asyncio.run(engines.wanted_keep(redis_url, keys.venue, 2))
        assert streams.get_json(keys.engines_wanted) == 2
        streams.heartbeat(keys, "engine", {"role": "leader", "pid": 12})
        pids = {"engine": 11, "engine2": 12, "engine3": 13}
        assert asyncio.run(engines.stop_order(redis_url, keys.venue, pids)) == ["engine3", "engine", "engine2"]
    finally:
        streams.close()


def test_lasting_ends_have_advice() -> None:
    """The exit codes that engines give for a refusal and for newer rules are among those that no restart cures."""
    assert {EXIT_REFUSED, EXIT_BORDER} <= processes.LASTING_ADVICE.keys()


@pytest.mark.parametrize("code", [1, 3, 64, 70, 78, 79])
def test_what_no_restart_cures_waits_long(code: int, tmp_path: Path) -> None:
    """A process that refuses or diverges waits long at once, however long it lived."""
    child = processes.Child("engine", [sys.executable, "-c", f"raise SystemExit({code})"], tmp_path / "engine.log")
    child.start()
    assert child.process is not None
    child.process.wait()
    child.started_s -= 2 * processes.STABLE_S
    lasting = code not in (1, 3)
    delays = [child.delay_next_s() for _ in range(3)]
    assert all(
        delay == processes.LASTING_DELAY_S if lasting else delay <= processes.BACKOFF_FIRST_S for delay in delays
    )


def test_advice_is_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line that says what helps fits the console, right below the exit code."""
    venue = supervisor.Supervisor(plan.Options(tmp_path))
    for code, advice in processes.LASTING_ADVICE.items():
        child = processes.Child("engine", [sys.executable, "-c", f"raise SystemExit({code})"], tmp_path / "engine.log")
        child.start()
        assert child.process is not None
        child.process.wait()
        venue.lost(child, child.delay_next_s())
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].split() == ["engine", *f"ended with code {code}; again in 30.0 s".split()]
        assert shown[-1].strip() == advice


@pytest.mark.parametrize(
    ("environment", "link", "made"),
    [
        ("", "http://link", 1),
        ("development", "http://link", 1),
        ("development", "", 0),
        ("production", "http://link", 0),
    ],
)
def test_an_operator_is_made_in_development_alone(environment: str, link: str, made: int) -> None:
    """The greeting says that the link signs an operator in where it does: on somebody's own machine, with a link."""
    words = (
        "import pathlib; from scripts import plan, ready;"
        f" print(plan.welcome(plan.Options(pathlib.Path('x')), ready.Ready(sign_in_url={link!r}), 1.0))"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TIDEMARK_ENV": environment}
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, env=environ)
    assert told.stdout.count("signs in an operator") == made
