"""
Many seeds in several processes; every verdict is one JSON line, so that a campaign can be gone on with.

    python -m tests.simulation --seeds 0-9999 --jobs 4 --minutes 60 --state out/sim.jsonl
    python -m tests.simulation --seeds 17 --show          # what happened in one seed, fact by fact
"""

import argparse
import sys
import time
from pathlib import Path

import orjson

from tests.simulation.campaign import Report, Workers, commit, lines_read


def seeds_of(text: str) -> list[int]:
    """Return the seeds that `A-B`, or a list with commas, names."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def show(seed: int, bug: str, wire: str) -> int:
    """Print everything that one seed's processes said, and what is wrong; return the exit code."""
    from tests.simulation.bugs import CASTS
    from tests.simulation.world import Plan, World

    verdict = World(seed, CASTS[bug], Plan(wire=wire)).run()
    for now_s, name, event, fields in verdict.told:
        print(f"{now_s:10.6f} {name:12} {event} {' '.join(f'{key}={value}' for key, value in fields.items())}"[:400])
    print(f"seed {seed}: {verdict.inputs} inputs, {verdict.virtual_s} virtual seconds, digest {verdict.digest}")
    print("\n".join(verdict.found) or "nothing is wrong")
    return 1 if verdict.found else 0


def main() -> int:
    """Run the campaign of the command line; return 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", default="0-299", help="A-B, or numbers with commas")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long; --state goes on")
    parser.add_argument("--state", type=Path, help="JSON lines of verdicts; seeds that stand there are not run again")
    parser.add_argument("--bug", default="", help="put a planted bug in")
    parser.add_argument("--wire", default="", choices=("", "fast", "plain", "mixed"), help="the seed says which")
    parser.add_argument("--until-found", action="store_true", help="stop at the first seed that fails")
    parser.add_argument("--show", action="store_true", help="print what happened in the first seed")
    arguments = parser.parse_args()
    seeds = seeds_of(arguments.seeds)
    if arguments.show:
        return show(seeds[0], arguments.bug, arguments.wire)
    sources, lines = commit(), lines_read(arguments.state)
    known = {line["seed"] for line in lines}
    report = Report([line for line in lines if line["seed"] in set(seeds)])
    end_s = time.monotonic() + arguments.minutes * 60
    if arguments.state is not None:
        arguments.state.parent.mkdir(parents=True, exist_ok=True)
    with Workers(arguments.jobs) as workers:
        left = [seed for seed in seeds if seed not in known]
        for line in workers.lines(left, arguments.bug, arguments.wire):
            report.add(line)
            report.here_count += 1
            if arguments.state is not None:
                with open(arguments.state, "ab") as file:
                    file.write(orjson.dumps(line | {"commit": sources}) + b"\n")
            if line["found"]:
                print(f"seed {line['seed']}: {line['found'][0]}", flush=True)
            report.show(len(seeds))
            if time.monotonic() >= end_s or (arguments.until_found and line["found"]):
                break
    report.show(len(seeds), always=True)
    report.end()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
