"""
No float anywhere in state or events: read from the record types, from the syntax trees, and from what a venue says.

A float that nobody meant comes from five places: a literal, a true division, a negative power, a conversion, and an
array that was made without a type. The files below are where money lives; what looks like one of the five there, and is
not, is named with its reason, and a name that is no longer needed fails too.
"""

import ast
import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine.core
from engine.core import state
from shared import records
from tests.builders import BTC, instruction, opened

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = ("codes", "records", "units", "genesis")
FILES = sorted(
    [
        *(REPOSITORY / "engine" / "core").rglob("*.py"),
        *(REPOSITORY / "shared" / f"{name}.py" for name in SHARED),
        *(REPOSITORY / "shared").glob("wire*.py"),
    ]
)
FILES_MIN = 60
RECORDS = {"STATE": state.STATE, "COMMAND": records.COMMAND, "EVENT": records.EVENT, "CONFIG": records.CONFIG}
LEAVES_MIN = {"STATE": 400, "COMMAND": 60, "EVENT": 60, "CONFIG": 20}

# Names that are a float or make one, and methods of arrays that do.
NAMES = {"float", "complex", "round", "pow"}
METHODS = {"mean", "std", "var", "as_integer_ratio"}
# Of NumPy, the only names that may be used: each gives what it is given, or counts. bincount only without weights.
NUMPY = {"int8", "int16", "int32", "int64", "uint8", "dtype", "ndarray", "recarray", "__version__"}
NUMPY |= {"array", "empty", "zeros", "zeros_like", "full", "frombuffer", "ascontiguousarray", "concatenate", "copyto"}
NUMPY |= {"abs", "add", "diff", "where", "isin", "unique", "argsort", "argwhere", "flatnonzero", "bincount"}
MODULES = {"math", "cmath", "statistics", "decimal", "random"}
# Makers of arrays, and at which place they take the type; without one they make floats.
MAKERS = {"array": 1, "zeros": 1, "empty": 1, "full": 2, "frombuffer": 1}

PATHS = "joins paths: where compiled code is kept"
EXACT = "of a Fraction: half to even, exact, a whole number"
REFUSED = "names the type in order to refuse it: a JSON number with a point"
BOUNDED = "the exponent is a count of decimals, 0 to 12"
EXCEPTIONS = {
    ("engine/core/kernel.py", "repository / 'engine'"): PATHS,
    ("engine/core/kernel.py", "repository / 'shared'"): PATHS,
    ("engine/core/kernel.py", "engine / 'core'"): PATHS,
    ("engine/core/kernel.py", "engine / package"): PATHS,
    ("engine/core/kernel.py", "engine / 'core' / f'{name}.py'"): PATHS,
    ("engine/core/kernel.py", "shared / f'{name}.py'"): PATHS,
    ("engine/core/kernel.py", "_REPOSITORY / '.venv' / 'kernels'"): PATHS,
    ("engine/core/kernel.py", "root / f'tidemark-{family.value}-{cache_key(_REPOSITORY, versions, family)}'"): PATHS,
    ("shared/units.py", "round(rate * PPB)"): EXACT,
    ("shared/units.py", "round(Fraction(text) * E12)"): EXACT,
    ("shared/units.py", "10 ** (12 - decimals)"): BOUNDED,
    ("shared/units.py", "10 ** decimals"): BOUNDED,
    ("shared/wire_values.py", "type(value) is float"): REFUSED,
}


def leaves(dtype: np.dtype, name: str) -> Iterator[tuple[str, np.dtype]]:
    """Yield every plain type inside a record, through nested records and arrays, with its dotted name."""
    if dtype.subdtype is not None:
        yield from leaves(dtype.subdtype[0], name)
    elif dtype.names is not None and dtype.fields is not None:
        for field in dtype.names:
            yield from leaves(dtype.fields[field][0], f"{name}.{field}")
    else:
        yield name, dtype


def integer(dtype: np.dtype) -> bool:
    """Return whether every leaf of a type is a signed integer of at most eight bytes."""
    return all(leaf.kind == "i" and leaf.itemsize <= 8 for _, leaf in leaves(dtype, ""))


def constant(node: ast.AST) -> bool:
    """Return whether an exponent is a whole number written out without a sign, or the name of a constant."""
    if isinstance(node, ast.Name):
        return node.id.isupper()  # what a module's constants come to is looked at below
    return isinstance(node, ast.Constant) and type(node.value) is int


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def floating(node: ast.AST) -> bool:
    """Return whether a node is one of the five places where a float comes from."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float | complex)
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return isinstance(node.op, ast.Div) or (
            isinstance(node.op, ast.Pow) and not constant(node.right if isinstance(node, ast.BinOp) else node.value)
        )
    if isinstance(node, ast.Name):
        return node.id in NAMES
    if isinstance(node, ast.Attribute):
        ours = not (isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy"))
        return node.attr in METHODS if ours else node.attr not in NUMPY
    if isinstance(node, ast.Call) and called(node) == "bincount":
        return len(node.args) > 1 or any(word.arg == "weights" for word in node.keywords)
    if isinstance(node, ast.Call) and called(node) in MAKERS and isinstance(node.func, ast.Attribute):
        return len(node.args) <= MAKERS[called(node)] and not any(word.arg == "dtype" for word in node.keywords)
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return bool({name.split(".")[0] for name in names} & MODULES)
    return False


def found(source: str) -> Iterator[str]:
    """Yield each expression of a source that may make a float; a call or comparison whole, the outer of nested ones."""
    stack: list[tuple[ast.AST, ast.AST | None]] = [(ast.parse(source), None)]
    while stack:
        node, above = stack.pop()
        if floating(node):
            whole = isinstance(above, ast.Call | ast.Compare) and isinstance(node, ast.Name | ast.Attribute)
            yield ast.unparse(above if whole and above is not None else node)
            if isinstance(node, ast.BinOp):
                continue
        stack += [(below, node) for below in ast.iter_child_nodes(node)]


@pytest.mark.parametrize("name", RECORDS)
def test_every_leaf_of_a_record_is_an_integer(name: str) -> None:
    """State, commands, events and configurations hold signed integers of at most 64 bits, all the way down."""
    plain = list(leaves(RECORDS[name], name))
    assert [f"{field}: {dtype}" for field, dtype in plain if not integer(dtype)] == []
    assert len(plain) >= LEAVES_MIN[name]


def test_no_source_of_floats_in_the_core_and_the_wire() -> None:
    """No literal, division, negative power, conversion or untyped array makes a float where money lives."""
    assert len(FILES) >= FILES_MIN
    seen = [
        (path.relative_to(REPOSITORY).as_posix(), expression)
        for path in FILES
        for expression in found(path.read_text())
    ]
    assert set(seen) - EXCEPTIONS.keys() == set()


def test_every_exception_is_still_needed() -> None:
    """Each named exception is found where it says, and has a reason."""
    for (name, expression), reason in EXCEPTIONS.items():
        assert Counter(found((REPOSITORY / name).read_text()))[expression] > 0, (name, expression)
        assert reason


@pytest.mark.parametrize(
    "source",
    [
        "fee = size * 0.0005",
        "half = 1e6",
        "mid = (bid + ask) / 2",
        "price /= 2",
        "scale = 10 ** -6",
        "scale = 10 ** places",
        "x = float(text)",
        "x = round(price)",
        "x = np.float64(3)",
        "x = value.astype(np.double)",
        "import math",
        "from math import floor",
        "import decimal",
        "x = np.zeros(3)",
        "x = np.full(3, 1)",
        "x = np.array(words)",
        "x = np.bincount(rows, amounts)",
        "x = np.bincount(rows, weights=amounts)",
        "x = np.arange(3, dtype=np.double)",
        "x = np.percentile(rows, 5)",
        "x = prices.mean()",
        "x = 1j",
    ],
)
def test_each_source_of_floats_is_seen(source: str) -> None:
    """The reading finds a float wherever one may come from."""
    assert list(found(source))


@pytest.mark.parametrize(
    "source",
    [
        "mid = (bid + ask) // 2",
        "price //= 2",
        "scale = 10**6",
        "x = int(text)",
        "x = np.zeros(3, np.int64)",
        "x = np.zeros(3, dtype=ROW)",
        "x = np.full(3, -1, np.int64)",
        "text = '0.5 / 2'",
        "from engine.core import margin",
    ],
)
def test_whole_numbers_are_left_alone(source: str) -> None:
    """The reading finds none where all is whole."""
    assert not list(found(source))


def test_no_module_of_the_core_holds_a_float() -> None:
    """What the core's modules hold once imported, computed constants and tables too, is whole."""
    names = [f"engine.core.{each.name}" for each in pkgutil.iter_modules(engine.core.__path__)]
    wrong = []
    for module in map(importlib.import_module, ["engine.core", *names, *(f"shared.{name}" for name in SHARED)]):
        for name, value in vars(module).items():
            if isinstance(value, float | complex | np.inexact):
                wrong.append(f"{module.__name__}.{name} = {value}")
            if isinstance(value, np.ndarray | np.dtype) and not integer(getattr(value, "dtype", value)):
                wrong.append(f"{module.__name__}.{name}: {getattr(value, 'dtype', value)}")
    assert not wrong


def floats(value: Any) -> Iterator[float]:
    """Yield every float inside decoded JSON."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from floats(inner)
    elif isinstance(value, float):
        yield value


def test_no_event_holds_a_float() -> None:
    """What a venue says of a trade, a funding and a minute has decimals as text and whole JSON numbers only."""
    venue = opened()
    said = list(venue.opening)
    body = {"E": venue.ts_us, "T": venue.ts_us, "e": "markPrice", "i": "60000.05", "p": "60000.04", "s": BTC}
    said += venue.apply("mark_update", {**body, "f": "0.000012345", "n": venue.ts_us // 1000 + 2_000})
    wish = {"market": BTC, "side": "buy", "margin": "100.5", "leverage": 7, "stop_loss": "50000.5"}
    said += venue.apply("user_instruction", instruction(1, "trade_create", **wish))
    said += venue.apply("clock_tick", ts_us=venue.ts_us + 3_000_000)
    said += venue.price(BTC, "50000.0", "50000.1", ts_us=venue.ts_us + 61_000_000)
    kinds = {event["e"] for event in said}
    assert {"fill", "ledger", "funding", "position_changed", "order_changed", "market_changed"} <= kinds
    assert list(floats(said)) == []
