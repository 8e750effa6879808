"""
Very many inputs of the engine's wire, valid and broken: the compiled code against the plain, block by block.

    python -m tests.property.decode_fuzz --inputs 1000000 --seed 1 --jobs 2
    python -m tests.property.decode_fuzz --minutes 10 --boundscheck --state out/fuzz.jsonl

First a share of the time goes into finding inputs that reach new lines (coverage_guide.py), which are spoilt further
with the rest. A block is a function of seed, number and those inputs; with --state those that stand there are not run
again. --boundscheck compiles a build of its own, in which a place outside of an array ends the block.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BLOCK = 5_000
GUIDED_SHARE = 0.15  # of the minutes
GUIDED_S = 10.0  # without --minutes
SHOWN_S = 5.0


def block_run(task: tuple[int, int, int, str]) -> dict[str, Any]:
    """Return the line of one block: how many inputs of each check, and what was found."""
    from tests.property.coverage_guide import corpus_read
    from tests.property.wire_checks import CHECKS

    seed, block, inputs, path = task
    begin_s = time.perf_counter()
    counts, found = {}, []
    for name, (check, share) in CHECKS.items():
        more = {"corpus": corpus_read(Path(path))} if name == "entries" and path else {}
        count = max(1, round(inputs * share))
        try:
            counts[name] = check(f"{seed} {block} {name}", count, **more)
        except Exception as error:
            found.append(f"{name} of seed {seed}, block {block}: {type(error).__name__}: {error}"[:4_000])
    seconds = round(time.perf_counter() - begin_s, 3)
    return {"seed": seed, "block": block, "counts": counts, "found": found, "seconds": seconds}


def blocks_run(tasks: list[tuple[int, int, int, str]], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of blocks as they come."""
    if jobs == 1:
        yield from map(block_run, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(block_run, tasks)


def guided(seed: int, seconds: float, corpus: Path) -> str:
    """Look for inputs that reach new lines, in a process without the compiler; return what it says."""
    command = [sys.executable, "-m", "tests.property.coverage_guide", "--seed", str(seed)]
    command += ["--seconds", str(seconds), "--corpus", str(corpus)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "found: " + done.stderr.strip()[-3_000:]


def known_blocks(path: Path | None, seed: int) -> set[int]:
    """Return the blocks of a seed that stand in the state without a finding."""
    if path is None or not path.exists():
        return set()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    return {line["block"] for line in lines if line["seed"] == seed and not line["found"]}


def arguments_read(words: list[str] | None) -> argparse.Namespace:
    """Return the words of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.property.decode_fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="go on until then instead of to --inputs")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--guided", type=float, default=-1.0, help="seconds for finding new lines")
    parser.add_argument("--boundscheck", action="store_true")
    parser.add_argument("--state", type=Path, help="JSON lines of blocks")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the fuzz of the command line; return 1 when anything was found."""
    given = arguments_read(words)
    if given.boundscheck:
        os.environ["NUMBA_BOUNDSCHECK"] = "1"  # before anything compiled is imported, here or in a worker
    begin_s, counts, found, inputs = time.monotonic(), Counter[str](), [], 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = given.state.with_suffix(".corpus") if given.state else Path(folder) / "corpus"
        seconds = given.guided if given.guided >= 0 else 60 * given.minutes * GUIDED_SHARE or GUIDED_S
        told = guided(given.seed, seconds, corpus) if seconds else ""
        print(f"guided {told}", flush=True)
        found += [told] if told.startswith("found") else []
        blocks = 10**9 if given.minutes else -(-given.inputs // BLOCK)
        known, shown_s = known_blocks(given.state, given.seed), begin_s
        left = (block for block in range(blocks) if block not in known)
        path = str(corpus) if corpus.exists() else ""
        tasks = ((given.seed, block, min(BLOCK, given.inputs - block * BLOCK) if not given.minutes else BLOCK, path)
                 for block in left)  # fmt: skip
        fuzz_s = time.monotonic()
        for line in blocks_run(tasks, given.jobs):  # type: ignore[arg-type]
            counts.update(line["counts"])
            found += line["found"]
            inputs = sum(counts.values())
            if given.state is not None:
                with given.state.open("ab") as file:
                    file.write(orjson.dumps(line) + b"\n")
            now_s = time.monotonic()
            if now_s - shown_s >= SHOWN_S:
                shown_s = now_s
                print(f"{inputs} inputs, {inputs / (now_s - fuzz_s):.0f}/s, {len(found)} found", flush=True)
            if given.minutes and now_s - begin_s >= 60 * given.minutes:
                break
    seconds = time.monotonic() - fuzz_s
    print(orjson.dumps({"inputs": inputs, "counts": counts, "per_s": round(inputs / max(seconds, 0.001)),
                        "boundscheck": given.boundscheck, "found": len(found)}).decode())  # fmt: skip
    print("\n".join(found[:5]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
