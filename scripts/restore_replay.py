"""
The replay of a restoration: from a snapshot through everything that is held, each checkpoint and each event compared.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from engine.documents import DocumentUnreadable, document_unpack
from engine.ingest import BATCH_MAX, Machine, machine_restore
from scripts.exits import ToolStop
from scripts.restore_held import Held, Holdings
from scripts.restore_survey import NOWHERE, Base, EventsHeld, Place, Survey, raw_read
from shared import stream_surgery
from shared.rules import RULES_VERSION
from shared.stream_keys import Entry, Fields, event_id, events_digest, events_fields, seq_chunk_of_event_id
from shared.streams import Streams

HASHES_KEPT = 1_000
RESET = "`./scripts/tidemark reset` ends this venue instead"


class Derived(NamedTuple):
    """What the replay gave."""

    entries: int
    checkpoints: int
    first: Place  # NOWHERE when nothing was derived
    outputs: int
    equal: int  # that the stream holds as they were derived
    differing: int  # places where stream and replay differ, or the stream holds what was not derived
    missing: int  # that the stream lacks before its end
    unpublished: int  # that follow its end
    cursor_digest: str  # of the entry on which the history cursor stands, as derived; "" when it was not
    responses: dict[int, list[dict[str, Any]]]  # by seq, from the first that the log held otherwise


def machine_at(base: Base | None) -> Machine:
    """Return the machine of a snapshot; raises ToolStop when its tables are not what it states."""
    try:
        return machine_restore(document_unpack(base.read()) if base is not None else None)
    except DocumentUnreadable as error:
        assert base is not None
        raise ToolStop(
            f"the snapshot at {base.seq} ({base.place}) does not verify: {error}; set it aside and try again"
        ) from None


def outputs_derive(
    machine: Machine, entries: Iterator[Held], advance: Callable[[int], None], checked: list[int]
) -> Iterator[Any]:
    """Yield every output of the entries; raises ToolStop where a checkpoint states another hash than is computed."""
    header, hashes = machine.header(), {machine.seq: machine.hashes()} if machine.seq else {}
    batch: list[Entry] = []
    while True:
        batch = [held.entry for held, _ in zip(entries, range(BATCH_MAX), strict=False)]
        if not batch:
            return
        machine.load(batch)
        while (step := machine.step()) is not None:
            yield from step.outputs
            before, header = header, machine.header()
            rules_check(header)
            if before.keyframe_slot not in (0, header.keyframe_slot):
                hashes[header.seq] = machine.hashes()
                hashes.pop(min(hashes) if len(hashes) > HASHES_KEPT else -1, None)
            if header.checkpoint != before.checkpoint:
                checkpoint_check(header, hashes, checked)
        advance(len(batch))


def rules_check(header: Any) -> None:
    """Raise ToolStop when the log stands under other rules than this build's."""
    if header.rules not in (0, RULES_VERSION):
        raise ToolStop(f"entry {header.seq:,} stands under rules {header.rules}, this build knows {RULES_VERSION}")


def checkpoint_check(header: Any, hashes: dict[int, tuple[str, str]], checked: list[int]) -> None:
    """Note a checkpoint that agrees; raises ToolStop when it does not."""
    seq, *claim = header.checkpoint
    own = hashes.get(seq)
    if own is None:
        return
    if own != tuple(claim):
        raise ToolStop(
            f"the checkpoint of entry {seq:,} states {claim[0][:16]}…, derived from these entries was {own[0][:16]}…:"
            f" they are not what the venue applied; try the build that wrote them; {RESET}"
        )
    checked.append(seq)


def replay(
    streams: Streams,
    survey: Survey,
    holdings: Holdings,
    base: Base | None,
    last_seq: int,
    changed_seq: int,
    events: EventsHeld,
    advance: Callable[[int], None],
) -> Derived:
    """Return what the entries after a snapshot cause, compared with what the events stream holds."""
    machine, checked = machine_at(base), list[int]()
    entries = holdings.read_to((base.seq if base is not None else 0) + 1, last_seq)
    cursor = survey.history[0] if survey.history is not None else None
    theirs = raw_read(streams, survey.keys.events, b"(" + event_id(*(base.events_last if base else NOWHERE)))
    there = raw_next(theirs)
    count = equal = differing = missing = unpublished = 0
    first, cursor_digest = NOWHERE, ""
    responses: dict[int, list[dict[str, Any]]] = {}
    for output in outputs_derive(machine, entries, advance, checked):
        place = (output.seq, output.chunk)
        first, count = (place if not count else first), count + 1
        if place == cursor:
            cursor_digest = events_digest(output).hex()
        if changed_seq and output.seq >= changed_seq:
            responses.setdefault(output.seq, []).extend(responses_of(output.data))
        while there is not None and there[0] < place:
            differing, there = differing + 1, raw_next(theirs)
        if there is None or there[0] != place:
            unpublished += there is None
            missing += there is not None and place > min(events.starts, default=NOWHERE)
            continue
        same = there[1] == events_fields(output)
        equal, differing, there = equal + same, differing + (not same), raw_next(theirs)
    differing += sum(1 for _ in theirs) + (there is not None)
    return Derived(
        machine.seq - (base.seq if base is not None else 0),
        len(checked), first, count, equal, differing, missing, unpublished, cursor_digest, responses,
    )  # fmt: skip


def raw_next(entries: Iterator[stream_surgery.Raw]) -> tuple[Place, Fields] | None:
    """Return place and fields of the next events entry, None at the end."""
    found = next(entries, None)
    return None if found is None else (seq_chunk_of_event_id(found[0]), found[1])


def responses_of(data: bytes) -> list[dict[str, Any]]:
    """Return the responses among the events of one entry."""
    return [event for event in orjson.loads(data) if event.get("e") == "order_response"]
