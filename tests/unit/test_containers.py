"""What docker-compose.yml lets a container do, and who may reach the servers."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

COMPOSE = Path(__file__).resolve().parent.parent.parent / "docker-compose.yml"
SERVERS = {"redis", "postgres"}
OUTWARD = {"gateway", "poller"}


def composed() -> dict[str, Any]:
    """Return the file, its anchors followed."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def test_servers_are_reached_by_our_processes_alone() -> None:
    """Redis and Postgres publish no port, want a password, and stand in a network without a way in or out."""
    whole = composed()
    services = whole["services"]
    assert whole["networks"]["inside"]["internal"] is True
    for name in SERVERS:
        assert "ports" not in services[name]
        assert services[name]["networks"] == ["inside"]
    assert "--requirepass" in str(services["redis"]["command"])
    assert "POSTGRES_PASSWORD" in services["postgres"]["environment"]
    for name in ("REDIS_PASSWORD", "POSTGRES_PASSWORD"):
        assert f"${{{name}:?" in COMPOSE.read_text(), "without one nothing starts"
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8080:8080"]}
    outward = {name for name, service in services.items() if "outside" in service.get("networks", [])}
    assert outward == OUTWARD


def test_processes_may_do_little() -> None:
    """Each of our processes has no capabilities or new privileges, a read-only file system, and is not root."""
    services = composed()["services"]
    ours = {name: service for name, service in services.items() if name not in SERVERS}
    assert len(ours) >= 6
    for name, service in ours.items():
        if "build" not in service:
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert service["stop_grace_period"] == "15s", name
    dockerfile = (COMPOSE.parent / "Dockerfile").read_text()
    users = [line.split()[1] for line in dockerfile.splitlines() if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0", "0:0")


def test_image_holds_what_the_processes_need_and_nothing_of_the_tests() -> None:
    """Whatever is in the lock is in the image or named as left out, and everything that is asked for is in it."""
    repository = COMPOSE.parent
    left_out = set(re.findall(r'out = """(.*?)"""', (repository / "Dockerfile").read_text(), re.DOTALL)[0].split())
    locked = set(re.findall(r"^([a-z0-9-]+)==", (repository / "requirements.lock").read_text(), re.MULTILINE))
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    needed = {re.split(r"[~=<>;]", one)[0].strip().replace(".", "-") for one in project["project"]["dependencies"]}
    tests = {
        re.split(r"[~=<>;]", one)[0].strip()
        for group in project["dependency-groups"].values()
        for one in group
        if isinstance(one, str)
    }
    assert left_out <= locked
    assert needed <= locked - left_out
    assert tests <= left_out
