"""docs/commands.md: every operation, key, result and reason stands in it, and nothing that does not exist."""

import re
from pathlib import Path

from shared.codes import CloseReason, Op, ResultCode
from shared.wire_instructions import OPERATIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()


def test_every_code_and_reason_is_explained() -> None:
    """Each result but OK and each reason appears as code, and every upper-case code of the page exists."""
    named = set(re.findall(r"`([A-Z][A-Z_]{4,})`", PAGE))
    assert {code.name for code in ResultCode} - {"OK"} <= named
    assert named <= {code.name for code in ResultCode}
    assert all(f"`{reason.name.lower()}`" in PAGE for reason in CloseReason if reason)


def test_every_operation_lists_its_keys_in_order() -> None:
    """Each operation has a section whose Keys line names exactly the keys of the wire, in canonical order."""
    for op in Op:
        if op == Op.NONE:
            continue
        section = PAGE.split(f"\n## {op.name.lower()}\n")[1].split("\n## ")[0]
        line = re.sub(r"`[^`]*`|\([^)]*\)", "", section.split("Keys:")[1].split(".")[0].split(";")[0])
        keys = [
            word
            for word in re.findall(r"[a-z_]+", line)
            if word in {key for row in OPERATIONS.values() for key in row[0]}
        ]
        assert tuple(keys) == OPERATIONS[op][0], op.name
