"""
Bad disks and wrong clocks under a real server: a library loaded before it, and a small file system of its own.

Both need a machine that lets them: a compiler for the one, user namespaces for the other. Where they are missing the
tests that want them are skipped with that reason.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix("").with_name("server_shim.c")
# Mount a small file system over the data, run the server on it, and keep what it leaves.
SMALL_DISK = """
set -e
data=$1 kept=$2 size=$3
shift 3
cp -a "$data/." "$kept"
mount -t tmpfs -o "size=$size" tmpfs "$data"
cp -a "$kept/." "$data"
rm -rf "$kept"/*
set +e
"$@"
code=$?
cp -a "$data/." "$kept"
exit $code
"""


class Shim:
    """What one server is made to believe."""

    def __init__(self, folder: Path) -> None:
        if sys.platform != "linux" or shutil.which("cc") is None:
            pytest.skip("needs Linux and a C compiler for the library that stands before the server's disk and clock")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.library = folder / "shim.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self.library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        self.control = folder / "control"
        self.log = folder / "synced"
        self.calm()

    def environment(self) -> dict[str, str]:
        """Return the environment that puts the library before a server."""
        own = {"LD_PRELOAD": str(self.library), "SHIM_CONTROL": str(self.control), "SHIM_LOG": str(self.log)}
        return {**os.environ, **own}

    def calm(self) -> None:
        """Let disk and clock be as they are."""
        self.say()

    def say(self, delay_us: int = 0, eio: int = 0, shift_s: int = 0) -> None:
        """Change what the server sees from now on."""
        new = self.folder / "control.new"
        new.write_text(f"delay_us {delay_us}\neio {eio}\nshift_s {shift_s}\n")
        new.replace(self.control)

    def power_cut(self, folder: Path) -> int:
        """Cut a killed server's files to what was synchronised of each; return how many bytes that took away."""
        synced: defaultdict[Path, int] = defaultdict(int)
        for line in self.log.read_text().splitlines():
            name, _, size = line.rpartition(" ")
            synced[Path(name)] = int(size)
        lost = 0
        for path in folder.glob("*.aof"):
            if path in synced and path.stat().st_size > synced[path]:
                lost += path.stat().st_size - synced[path]
                os.truncate(path, synced[path])
        return lost


class SmallDisk:
    """A small file system over one process's data; what is left of it can be taken back."""

    def __init__(self, data: Path, megabytes: int) -> None:
        command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /tmp"]
        if shutil.which("unshare") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs user namespaces, to mount a small file system without being anybody")
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self.kept = Path(tempfile.mkdtemp(prefix="tidemark-", dir="/tmp"))
        # What the process is run by.
        self.prefix = ["unshare", "-rmpf", "--kill-child", "sh", "-c", SMALL_DISK, "sh",
                       str(data), str(self.kept), f"{megabytes}m"]  # fmt: skip

    def take_back(self) -> None:
        """Put what the process left in the place of its data, on the ordinary disk."""
        shutil.rmtree(self.data)
        self.kept.rename(self.data)
