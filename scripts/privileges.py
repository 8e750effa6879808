"""
PostgreSQL refuses to run as root: how root starts it all the same, and how servers die with their starter.

An ordinary user needs nothing of this. For root, way A: a user namespace in which root is an ordinary account; no
account, no chown, the files stay root's. Way B, where namespaces are switched off: an existing unprivileged account.
"""

import ctypes
import functools
import hashlib
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1


def libc() -> ctypes.CDLL:
    """Return the C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal_death: int, parent: int) -> None:
    """Ask the kernel to send this process a signal when its parent dies; call it after any change of account."""
    if not sys.platform.startswith("linux"):
        return
    libc().prctl(PR_SET_PDEATHSIG, int(signal_death), 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)


def namespace_account() -> int:
    """Return the uid that root becomes inside the namespace: any ordinary account that exists."""
    return next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid not in (0, 65534))


def namespace_enter() -> None:
    """Become an ordinary account in a new user namespace; outside, the files stay this user's."""
    uid = namespace_account()
    if libc().unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} 0 1"), ("gid_map", "1 0 1")):
        with open(f"/proc/self/{name}", "w") as target:
            target.write(line)
    os.setresgid(1, 1, 1)
    os.setresuid(uid, uid, uid)


@functools.cache
def namespaces_work() -> bool:
    """Return whether way A is possible here, by trying it in a child."""
    if not sys.platform.startswith("linux"):
        return False
    pid = os.fork()
    if pid == 0:
        try:
            namespace_enter()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@functools.cache
def account_switch() -> pwd.struct_passwd | None:
    """Return the account that must run PostgreSQL instead of this one; None when nobody needs to."""
    if os.geteuid() != 0 or namespaces_work():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)


def server_uid() -> int:
    """Return the uid that owns PostgreSQL's files, as seen from here."""
    account = account_switch()
    return account.pw_uid if account else os.getuid()


def prepare_server(signal_death: int) -> Callable[[], None]:
    """Return what PostgreSQL's child does before its program: leave root, then ask to die with its parent."""
    parent = os.getpid()
    account = account_switch()
    namespace = os.geteuid() == 0 and account is None

    def prepare() -> None:
        if namespace:
            namespace_enter()
        elif account is not None:
            os.setgroups([])
            os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
            os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        die_with_parent(signal_death, parent)

    return prepare


def give_to_server(path: Path) -> None:
    """Hand a file or folder to the account that runs PostgreSQL; root itself can use it all the same."""
    account = account_switch()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def postgres_home(data_dir: Path) -> Path:
    """Return the folder that holds the database: the data folder, or one that the other account can reach."""
    if account_switch() is None:
        return data_dir
    home = Path("/var/tmp") / f"tidemark-pg-{hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:10]}"
    home.mkdir(mode=0o711, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid not in (0, server_uid()):
        raise PermissionError(f"{home} belongs to somebody else")
    give_to_server(home)
    return home


def programs_reachable(programs: Path) -> Path:
    """Return the programs' folder, copied out of a closed folder when another account must run them."""
    account = account_switch()
    if account is None or all(folder.stat().st_mode & 0o001 for folder in programs.parents):
        return programs
    package = programs.parents[1]
    stated = f"{package}-{(programs / 'postgres').stat().st_mtime_ns}"
    target = Path("/var/tmp") / f"tidemark-programs-{hashlib.sha256(stated.encode()).hexdigest()[:10]}"
    if target.exists() and target.stat().st_uid != 0:
        raise PermissionError(f"{target} belongs to somebody else")
    if not (target / "complete").exists():
        # The programs find their libraries in the sibling folder `.libs`: both are needed.
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, target / name, dirs_exist_ok=True)
        target.chmod(0o755)
        (target / "complete").touch()
    return target / package.name / programs.parent.name / programs.name
