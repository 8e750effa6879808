"""Another build beside this one: a copy of the tree with another number of the rules, and engines of either."""

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.core import kernel
from shared.rules import RULES_VERSION
from tests.integration.conftest import REPOSITORY
from tests.integration.engine_process import EngineProcess

PACKAGES = ("engine", "gateway", "persister", "poller", "scripts", "shared")
COMPILED = ("engine/core", "engine", "engine/decode", "engine/encode")
TOOL_PATIENCE_S = 120.0


class Build:
    """One checkout, and how its programs are started."""

    def __init__(self, root: Path, rules: int, kernels: Path | None = None) -> None:
        self.root = root
        self.rules = rules
        self.kernels = kernels

    def environment(self) -> dict[str, str]:
        """Return what its processes need to run this source and no other."""
        kernels = {"TIDEMARK_KERNEL_CACHE": str(self.kernels)} if self.kernels is not None else {}
        return {**os.environ, "PYTHONPATH": str(self.root), **kernels}

    def engine(self, redis_url: str, database_url: str, data_dir: Path, name: str) -> "BuildEngine":
        """Return an engine of this build on a data folder, not started yet."""
        return BuildEngine(self, redis_url, database_url, data_dir, name)

    def tool(self, redis_url: str, database_url: str, data_dir: Path, *words: str) -> tuple[int, dict[str, Any]]:
        """Run `tidemark … --json` of this build; return its exit code and what it told."""
        done = subprocess.run(
            [sys.executable, "-m", "scripts.cli", *words, "--json", "--data", str(data_dir)],
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_PATIENCE_S,
            cwd=self.root,
            env={**self.environment(), "REDIS_URL": redis_url, "DATABASE_URL": database_url},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


class BuildEngine(EngineProcess):
    """An engine process of one build."""

    def __init__(self, build: Build, redis_url: str, database_url: str, data_dir: Path, name: str) -> None:
        super().__init__(redis_url, database_url, data_dir)
        self.build = build
        self.environment = {**self.environment, **build.environment()}
        self.log = data_dir / f"{name}.log"

    def start(self, *options: str) -> "BuildEngine":
        """Start the process from its own checkout."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engine", *options],
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=self.build.root,
            )
        return self

    def ended(self) -> int | None:
        """Return the exit code, None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def over(self) -> None:
        """See that it is gone at the test's end."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)


def build_this() -> Build:
    """Return this build."""
    return Build(REPOSITORY, RULES_VERSION)


def build_copy(folder: Path, rules: int) -> Build:
    """Return a copy of this tree whose rules have another number; what is compiled is taken along."""
    root = folder / f"build-{rules}"
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(REPOSITORY / "pyproject.toml", root)
    path = root / "shared" / "rules.py"
    source = path.read_text()
    stated = f"RULES_VERSION = {RULES_VERSION}\n"
    assert stated in source
    path.write_text(source.replace(stated, f"RULES_VERSION = {rules}\n"))
    kernels = folder / f"kernels-{rules}"
    if kernel.JIT:
        kernels_copy(root, kernels)
    return Build(root, rules, kernels)


def kernels_copy(root: Path, kernels: Path) -> None:
    """Copy the compiled kernels to where a checkout in another place looks for them: the compiler names by place."""
    for cache, name in itertools.product(kernel.cache_folders(), COMPILED):
        here, there = (
            cache_name(cache, REPOSITORY / name),
            cache_name(kernels / cache.name, root / name),
        )
        if here.is_dir():
            shutil.copytree(here, there)
            shutil.copytree(here, there.parent / here.name)  # so that one cache serves both


def cache_name(cache: Path, folder: Path) -> Path:
    """Return the folder of the cache that holds what is compiled of one source folder."""
    return cache / f"{folder.name}_{hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()}"
