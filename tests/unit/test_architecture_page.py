"""docs/architecture.md: its map of the core names each module once, in rows that only look downward."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = REPOSITORY / "engine" / "core"
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()
SECTION = PAGE.split("## Inside the core\n")[1].split("\n## ")[0]
ROWS = [re.findall(r"`([a-z_]+)`", row) for row in re.findall(r"^\| [^|]* \| ([^|]*) \|$", SECTION, re.MULTILINE)[1:]]


def imports_of(path: Path) -> set[str]:
    """Return the modules of the core that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "engine.core":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("engine.core."):
            found.add(str(node.module).split(".")[2])
    return found


def test_every_module_of_the_core_is_on_the_map() -> None:
    """Each module of the core stands in one row of the table, and every name there is a module."""
    modules = {path.stem for path in CORE.glob("*.py")} - {"__init__"}
    assert sorted(name for row in ROWS for name in row) == sorted(modules)


def test_every_module_of_the_wire_is_on_the_page() -> None:
    """Each module that reads entries or writes events, compiled, is named where its package is described."""
    for package in ("decode", "encode"):
        [row] = re.findall(rf"^\| `engine/{package}/` \| (.*)$", PAGE, re.MULTILINE)
        modules = {path.stem for path in (REPOSITORY / "engine" / package).glob("*.py")} - {"__init__"}
        assert modules - set(re.findall(r"`([a-z_]+)`", row)) == set()


def test_modules_look_downward() -> None:
    """No module of the core imports one of a higher row."""
    row_of = {name: number for number, row in enumerate(ROWS) for name in row}
    upward = {
        (name, other)
        for name in row_of
        for other in imports_of(CORE / f"{name}.py")
        if row_of.get(other, len(ROWS)) < row_of[name]
    }
    assert upward == set()
