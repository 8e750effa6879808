"""docs/commands.md: every operation, key, result, event and reason stands in it, and nothing that does not exist."""

import re
from pathlib import Path

import pytest

from shared.codes import CloseReason, EventKind, Op, ResultCode
from shared.wire_instructions import OPERATIONS
from tests.property.venues import TwinVenue
from tests.scenario.runner import START_US, Runner, instructions_of, scenarios_all

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
OPS = [op for op in Op if op]
NAMES = {op.name.lower() for op in OPS}
KINDS = {kind.name.lower() for kind in EventKind if kind not in (EventKind.NONE, EventKind.BATCH_RESULT)}
CODES = {code.name for code in ResultCode}
KEYS = {key for row in OPERATIONS.values() for key in row[0]}
SCENARIOS = scenarios_all()


def section_of(title: str) -> str:
    """Return one section of the page."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def codes_in(text: str) -> set[str]:
    """Return the result codes that a text names."""
    return set(re.findall(r"`([A-Z][A-Z_]{4,})`", text))


def shared_checks() -> dict[str, set[str]]:
    """Return the codes of each row of the page's table of checks that several operations share."""
    rows = re.findall(r"^\| \*(.*?)\* \| (.*) \|$", section_of("Checks of every operation"), re.MULTILINE)
    found = {name: codes_in(text) for name, text in rows}
    for name, text in rows:
        found[name] |= set().union(*(found[other] for other in re.findall(r"\*(.*?)\*", text)), set())
    return found


def codes_of(title: str) -> set[str]:
    """Return the codes that an operation's section names, itself or by a shared check, and those of every operation."""
    section = section_of(title)
    every = section_of("Checks of every operation").split("\n\nSome checks")[0]
    groups = shared_checks()
    named = [groups[name] for name in re.findall(r"\*([a-z ]+)\*", section)]
    return codes_in(section).union(codes_in(every), *named)


def kinds_of(title: str) -> set[str]:
    """Return the events that an operation's section names, itself or by another operation's."""
    section = section_of(title).split("Causes:")[1]
    if "its commands" in section or "settling" in section:
        return KINDS
    named = set(re.findall(r"`([a-z_]+)`", section)) & KINDS
    others = [kinds_of(other) for other in set(re.findall(r"[a-z_]+", section)) & NAMES - {title}]
    return named.union({"order_response"}, *others)


def test_every_code_reason_and_event_is_explained() -> None:
    """Each result but OK, each reason and each event appears as code, and every upper-case code of the page exists."""
    named = codes_in(PAGE)
    assert CODES - {"OK"} <= named
    assert named <= CODES
    assert {reason.name.lower() for reason in CloseReason if reason} <= set(re.findall(r"`([a-z_]+)`", PAGE))
    told = set(re.findall(r"`([a-z_]+)`", section_of("What an entry may cause besides")))
    assert told >= KINDS


def test_every_operation_has_its_section() -> None:
    """There is a section for each operation of the wire, and each is in the table of who may ask for it."""
    titles = set(re.findall(r"^## ([a-z_]+)$", PAGE, re.MULTILINE))
    assert titles == NAMES
    table = PAGE.split("| who | operations |")[1].split("\n\n")[0]
    assert set(re.findall(r"[a-z_]+", table)) >= NAMES


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_operation_lists_its_keys_in_order(op: Op) -> None:
    """Each operation has a section whose Keys line names exactly the keys of the wire, in canonical order."""
    section = section_of(op.name.lower())
    line = re.sub(r"`[^`]*`|\([^)]*\)", "", section.split("Keys:")[1].split(".")[0].split(";")[0])
    assert tuple(word for word in re.findall(r"[a-z_]+", line) if word in KEYS) == OPERATIONS[op][0]


def test_every_code_that_a_table_reaches_is_listed() -> None:
    """Whatever a scenario table has an operation answer, that operation's section names."""
    stated = {(each.op, each.expected) for scenario in SCENARIOS for each in instructions_of(scenario)}
    missing = {(op, code) for op, code in stated if op in NAMES and code not in codes_of(op) | {"OK"} and code in CODES}
    assert missing == set()


def test_every_listed_code_is_reached() -> None:
    """Whatever an operation's section names as its own is the answer of some line of the tables."""
    stated = {(each.op, each.expected) for scenario in SCENARIOS for each in instructions_of(scenario)}
    groups = shared_checks()
    silent = {}
    for name in NAMES:
        section = section_of(name)
        own = codes_in(section).union(*(groups[each] for each in re.findall(r"\*([a-z ]+)\*", section)))
        silent[name] = sorted(code for code in own if (name, code) not in stated)
    assert {name: codes for name, codes in silent.items() if codes} == {}


def test_every_event_that_a_table_causes_is_listed() -> None:
    """Whatever an operation causes in a scenario table, its section names, or that of what any entry may cause."""
    besides = set(re.findall(r"`([a-z_]+)`", section_of("What an entry may cause besides").split("\n\n")[0]))
    for scenario in SCENARIOS:
        runner = Runner(scenario, lambda first: TwinVenue(first, START_US))
        runner.run()
        unnamed = {(op, kind) for op, kind in runner.caused if op in NAMES and kind not in kinds_of(op) | besides}
        assert unnamed == set(), scenario.name
