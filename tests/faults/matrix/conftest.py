"""The matrix's options, its servers and what it tells: one JSON line of results a row."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import embedded
from tests.faults.matrix.copies import Copy, database_copies
from tests.faults.matrix.house import House
from tests.faults.matrix.rows import ROWS
from tests.faults.matrix.table import results
from tests.integration.conftest import TEMPLATE, Servers, statement_run

# Taken out: the processes of a venue refuse a setting that they do not know.
FULL = os.environ.pop("TIDEMARK_MATRIX", "") == "full"
MARK = pytest.mark.timeout(600 if FULL else 120)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the matrix's own options; they exist when its folder is named on the command line."""
    group = parser.getgroup("matrix")
    group.addoption("--matrix-json", metavar="FILE", default=None, help="write what became of every row")


def pytest_configure(config: pytest.Config) -> None:
    """Run the tests that cover rows elsewhere as well, when the whole matrix was asked for."""
    path = config.getoption("--matrix-json", default=None)
    reporter = Reporter(Path(path) if path else None)
    config.pluginmanager.register(reporter, "matrix-reporter")
    if FULL and path:
        os.environ.setdefault("TIDEMARK_TEST_DISASTERS", "all")
        own = config.rootpath / "tests" / "faults" / "matrix"
        if [Path(argument).resolve() for argument in config.args] == [own]:
            config.args += sorted({test for row in ROWS for test in row.tests if "/matrix/" not in test})


class Reporter:
    """Collects what became of each test, and writes the rows at the end."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.outcomes: dict[str, list[tuple[str, float]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test; a set-up that fails or skips is an outcome too."""
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.partition("[")[0]
            self.outcomes.setdefault(name, []).append((report.outcome, round(report.duration, 2)))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say how many rows are green, and name the others."""
        if self.path is not None:
            rows = results(self.outcomes)
            others = [f"{row['name']} {row['result']}" for row in rows if row["result"] != "green"]
            terminalreporter.write_line(f"matrix: {len(rows) - len(others)} of {len(rows)} rows green {others or ''}")

    def pytest_sessionfinish(self) -> None:
        """Write the file, if one is wanted."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            rows = results(self.outcomes)
            green = sum(row["result"] == "green" for row in rows)
            self.path.write_text(json.dumps({"rows": rows, "green": green, "of": len(rows), "full": FULL}, indent=1))


@pytest.fixture(scope="session")
def full() -> bool:
    """Return whether each fault lasts as long as it is written, instead of a few seconds."""
    return FULL


@pytest.fixture(scope="module")
def database_make(embedded_servers: Servers, database_names: Iterator[int]) -> Iterator[Callable[[], str]]:
    """Return a function that makes a database of its own for a house; all are dropped after the module."""
    made: list[str] = []

    def make() -> str:
        name = f"house_{next(database_names)}"
        copy = f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy"
        asyncio.run(statement_run(embedded_servers.sockets, copy))
        made.append(name)
        return embedded.database_url(embedded_servers.sockets, name)

    yield make
    for name in made:
        asyncio.run(statement_run(embedded_servers.sockets, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def house_make(
    database_make: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., House]]:
    """Return a function that founds a venue with one leading engine; all are ended after the module."""
    houses: list[House] = []

    def make() -> House:
        house = House(database_make(), tmp_path_factory.mktemp("house"))
        houses.append(house)
        house.found()
        house.accounts_open()
        return house

    yield make
    for house in houses:
        house.end()


@pytest.fixture(scope="module")
def copy_make(embedded_servers: Servers, database_names: Iterator[int]) -> Iterator[Callable[[House], Copy]]:
    """Return a function that copies a house at rest; all copies are ended after the module."""
    copies: list[Copy] = []
    database_copy = database_copies(embedded_servers, lambda: next(database_names))

    def make(house: House) -> Copy:
        copies.append(Copy(house, database_copy(house.database_url)))
        return copies[-1]

    yield make
    for copy in copies:
        copy.end()


@pytest.fixture(scope="module")
def house(house_make: Callable[..., House]) -> House:
    """Return the one venue of a module whose faults leave it whole."""
    return house_make()


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Give every test of the matrix its time."""
    for item in items:
        if "/matrix/" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(MARK)
