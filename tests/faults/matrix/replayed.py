"""
The program of test_m_replay: a history made from a seed, its state restored again and again, as two digests.

    python -m tests.faults.matrix.replayed --entries 400 --restore-every 10
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import click

from shared.streams import events_digest
from tests.engine_toy import ToyVenue
from tests.faults.core_history import CoreHistory, core_kit

STEP_S = 0.4  # of log time between two entries


@click.command()
@click.option("--entries", type=click.IntRange(1), default=400, show_default=True)
@click.option("--restore-every", "every", type=click.IntRange(0), default=10, show_default=True, help="0: never.")
@click.option("--seed", type=int, default=5, show_default=True)
def main(entries: int, every: int, seed: int) -> None:
    """Apply the history one entry at a time and print what came of it."""
    digest = hashlib.blake2b(digest_size=32)
    events_count = 0
    with tempfile.TemporaryDirectory() as folder:
        venue = ToyVenue(Path(folder), core_kit())
        history = CoreHistory(venue, seed)
        machine = venue.kit.restore(None)
        buffer = memoryview(bytearray(venue.kit.buffer_bytes))
        for number in range(entries):
            if number:
                venue.clock.sleep_s(STEP_S)
                history.next()
            machine.load([venue.server.log[-1]])
            while (step := machine.step()) is not None:
                for output in step.outputs:
                    digest.update(events_digest(output))
                    events_count += 1
            if every and number % every == every - 1:
                machine = venue.kit.restore(venue.kit.content_of(buffer, machine.copy(buffer)))
    found = {"events": events_count, "digest": digest.hexdigest(), "hashes": machine.hashes()}
    print(json.dumps({**found, "python": sys.version.split()[0]}))


if __name__ == "__main__":
    main()
