"""Who may import whom, who may ask the time or read the environment: read from the syntax trees."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
PROCESSES = ("engine", "gateway", "persister", "poller")
OWN = {*PROCESSES, "scripts", "shared", "tests"}
# What each package may import of the project; scripts and tests may import anything.
ARROWS = {
    "poller": {"shared"},
    "gateway": {"shared"},
    "persister": {"shared"},
    "engine": {"shared", "engine"},
    "shared": {"shared"},
}
ARROWS_OF_FILES = {
    "gateway/preview/worker.py": {"shared", "engine.core", "gateway"},
    "persister/rebuild.py": {
        *("shared", "persister", "engine.documents", "engine.core.snapshot", "engine.core.images"),
    },
}
CORE_SHARED = {"shared.codes", "shared.records", "shared.units"}
CORE_FOREIGN = {"numpy", "numba", "llvmlite"}
# Standard modules that the core may never see: they block, look at a clock, or differ from run to run.
CORE_BANNED = {"asyncio", "datetime", "logging", "random", "secrets", "socket", "threading", "time", "uuid"}
# A client of a server lives in one file, whole or split by name.
CLIENTS = {
    # The last is what the engine is measured against.
    "redis": {
        "shared/streams.py",
        "shared/streams_async.py",
        "shared/stream_client.py",
        "scripts/bench_wire_baseline.py",
    },
    "asyncpg": {"shared/database.py"},
}
INTRINSICS = {"engine/core/fetch.py", "engine/core/past_cache.py", "engine/decode/words.py", "engine/encode/memory.py"}
ENVIRONMENT_READERS = {"shared/settings.py", "engine/core/kernel.py"}  # the second: where compiled code is kept
CLOCK_READER = "shared/clock.py"
CLOCK_NAMES = {
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "now",
    "utcnow",
    "today",
}


class Import(NamedTuple):
    """One import statement, as dotted names."""

    path: str
    line: int
    module: str
    names: tuple[str, ...]

    @property
    def dotted(self) -> list[str]:
        """Return every module that the statement may mean."""
        return [f"{self.module}.{name}" for name in self.names] if self.names else [self.module]


def files_of(package: str) -> list[Path]:
    """Return the Python files of one package."""
    return sorted((REPOSITORY / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return a file's path inside the repository."""
    return path.relative_to(REPOSITORY).as_posix()


def imports(path: Path) -> Iterator[Import]:
    """Yield every import of a file, wherever it stands; relative ones as absolute."""
    package = list(path.relative_to(REPOSITORY).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name_of(path), node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield Import(name_of(path), node.lineno, module, tuple(alias.name for alias in node.names))


def within(dotted: str, allowed: set[str]) -> bool:
    """Return whether a module is one of these or below one of them."""
    return any(dotted == name or dotted.startswith(f"{name}.") for name in allowed)


def test_processes_meet_on_streams_only() -> None:
    """No package imports a sibling that the layout does not allow."""
    wrong = []
    for package, arrows in ARROWS.items():
        for path in files_of(package):
            allowed = ARROWS_OF_FILES.get(name_of(path), arrows | {package})
            for found in imports(path):
                own = found.module.split(".")[0] in OWN
                if own and not all(within(dotted, allowed) for dotted in found.dotted):
                    wrong.append(f"{found.path}:{found.line} imports {found.module}")
    assert not wrong


def test_core_is_pure() -> None:
    """The core imports itself, three pure modules of shared, NumPy, Numba, and nothing that can block."""
    wrong = []
    for path in files_of("engine/core"):
        for found in imports(path):
            root = found.module.split(".")[0]
            if root in OWN:
                good = all(within(dotted, CORE_SHARED | {"engine.core"}) for dotted in found.dotted)
            else:
                good = root in CORE_FOREIGN or (root in sys.stdlib_module_names and root not in CORE_BANNED)
            if not good:
                wrong.append(f"{found.path}:{found.line} imports {found.module} {found.names}")
    assert not wrong


def test_pure_shared_modules_stay_pure() -> None:
    """What the core imports of shared brings nothing else in."""
    for dotted in sorted(CORE_SHARED):
        for found in imports(REPOSITORY / f"{dotted.replace('.', '/')}.py"):
            root = found.module.split(".")[0]
            good = all(within(each, CORE_SHARED) for each in found.dotted) if root == "shared" else root not in OWN
            pure = root in {"shared", "numpy"} or root in sys.stdlib_module_names - CORE_BANNED
            assert good, found
            assert pure, found


def test_a_client_lives_in_one_file() -> None:
    """Redis and Postgres clients are imported by exactly one file of the processes and of shared."""
    for client, homes in CLIENTS.items():
        users = {
            found.path
            for package in (*PROCESSES, "shared", "scripts")
            for path in files_of(package)
            for found in imports(path)
            if found.module.split(".")[0] == client
        }
        assert users <= homes, client


def test_one_compile_decorator() -> None:
    """Numba is imported by the decorators' modules, and where an instruction of the processor is put into words."""
    users = {found.path for path in files_of("engine") for found in imports(path) if found.module.startswith("numba")}
    assert users <= {"engine/core/compiler.py", "engine/core/kernel.py", *INTRINSICS}


def test_one_reader_of_the_environment() -> None:
    """Only the settings read the environment; the scripts are the ones that set it."""
    readers = set()
    for package in (*PROCESSES, "shared"):
        for path in files_of(package):
            for node in ast.walk(ast.parse(path.read_text())):
                name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
                if name in ("environ", "getenv", "environb"):
                    readers.add(name_of(path))
    assert readers <= ENVIRONMENT_READERS


def test_one_reader_of_the_clock() -> None:
    """Only shared/clock.py asks what time it is, in the processes and in shared."""
    wrong = []
    for package in (*PROCESSES, "shared"):
        for path in files_of(package):
            if name_of(path) == CLOCK_READER:
                continue
            wrong += [f"{name_of(path)}:{line}" for line in clock_lines(path)]
    assert not wrong


def clock_lines(path: Path) -> Iterator[int]:
    """Yield the lines that ask for the time through the standard library."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "time" and {a.name for a in node.names} & CLOCK_NAMES:
            yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_NAMES:
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            # datetime.now(), date.today(), time.time(); not clock.now_us() nor a method of ours named now().
            if name in ("time", "datetime", "date"):
                yield node.lineno


def test_core_needs_numpy_and_numba_only() -> None:
    """`import engine.core` works where no server's client, no web framework and no JSON library is installed."""
    allowed = sorted(CORE_FOREIGN | {"engine", "shared"})
    code = f"""
import sys
allowed = set(sys.stdlib_module_names) | set({allowed!r})
class Gate:
    def find_spec(self, name, path=None, target=None):
        asker = sys._getframe(1)
        while asker and asker.f_globals.get("__name__", "").startswith(("importlib", "_frozen")):
            asker = asker.f_back
        from_us = asker and asker.f_globals.get("__name__", "").split(".")[0] in ("engine", "shared", "__main__")
        if from_us and name.split(".")[0] not in allowed:
            raise ImportError("not for the core: " + name)
        if name.split(".")[0] in ("redis", "asyncpg", "starlette", "orjson", "msgspec", "structlog", "uvicorn"):
            raise ImportError("not for the core: " + name)
sys.meta_path.insert(0, Gate())
import engine.core
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr


def test_start_scripts_need_nothing_installed() -> None:
    """The bootstrap imports the standard library alone, and the supervisor nothing slow."""
    for name in (
        "bootstrap",
        "embedded",
        "privileges",
        "processes",
        "ready",
        "console",
        "kernels",
        "plan",
        "servers",
        "supervisor",
    ):
        for found in imports(REPOSITORY / "scripts" / f"{name}.py"):
            root = found.module.split(".")[0]
            assert root in sys.stdlib_module_names or (root == "scripts" and name != "bootstrap"), found
