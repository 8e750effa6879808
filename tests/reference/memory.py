"""
The memory of requests: what was accepted, what was refused, and for how long each is remembered.
"""

from tests.reference.intake import Instruction
from tests.reference.state import State

SECOND_US = 1_000_000
LATE_US = 5 * SECOND_US
# Refusals that leave no trace: not final, never about this sending, or the memory's own answer to it.
UNREMEMBERED = (
    "INSTRUCTION_EARLY", "REQUEST_REPEATED", "REQUEST_ID_REUSED", "REQUEST_SUPERSEDED", "REQUEST_MEMORY_FULL",
    "OP_UNKNOWN", "FIELD_UNKNOWN",
)  # fmt: skip


def time_of_id(request_id: str) -> int | None:
    """Return the time in µs that a UUIDv7 carries, None for any other id."""
    if request_id[12] != "7" or request_id[16] not in "89ab":
        return None
    return int(request_id[:12], 16) * 1_000


def memory_forget(state: State) -> None:
    """Drop what log time has passed."""
    for key in [key for key, row in state.requests.items() if state.log_time_us > row["until_us"]]:
        del state.requests[key]
    for key in [key for key, ts_us in state.refusals.items() if state.log_time_us > ts_us + LATE_US]:
        del state.refusals[key]


def memory_ask(state: State, asked: Instruction, ts_us: int) -> tuple[str | None, int | None]:
    """Return what the memory says against this sending, or None, and the first seq of what it repeats."""
    memory_forget(state)
    key = (asked.account_id, asked.request_id)
    accepted = state.requests.get(key)
    if accepted is not None:
        if accepted["digest"] == asked.digest:
            return "REQUEST_REPEATED", accepted["seq"]
        return "REQUEST_ID_REUSED", None
    if ts_us > state.log_time_us + LATE_US:
        return "INSTRUCTION_EARLY", None
    id_us = time_of_id(asked.request_id)
    if id_us is not None:
        if state.log_time_us > id_us + state.settings["request_window_ms"] * 1_000:
            return "REQUEST_TOO_OLD", None
        if id_us > state.log_time_us + LATE_US:
            return "REQUEST_ID_EARLY", None
    if key in state.refusals and ts_us <= state.refusals[key]:
        return "REQUEST_SUPERSEDED", None
    if len(state.requests) + len(state.refusals) >= state.settings["requests_max"] and key not in state.refusals:
        return "REQUEST_MEMORY_FULL", None
    return None, None


def memory_keep(state: State, asked: Instruction, ts_us: int, result: str) -> None:
    """Remember how this sending ended."""
    key = (asked.account_id, asked.request_id)
    if result == "OK":
        until_us = max(ts_us, time_of_id(asked.request_id) or 0) + state.settings["request_window_ms"] * 1_000
        state.requests[key] = {"seq": state.seq, "digest": asked.digest, "until_us": until_us}
        state.refusals.pop(key, None)
    elif result not in UNREMEMBERED and state.log_time_us <= ts_us + LATE_US:
        full = len(state.requests) + len(state.refusals) >= state.settings["requests_max"]
        if not full or key in state.refusals:
            state.refusals[key] = ts_us
