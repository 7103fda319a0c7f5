"""Attacks with files that were valid until a seeded draw changed them: how many end in a traceback, and where.

python benchmarks/fuzz.py --count 20000 [--from 0] [--kind NAME …]
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the attacks are those of the tests

import torch

from tests.fuzz.runner import KINDS, run
from tests.fuzz.valid import prepare

SEEDS_AT_ONCE = 25  # in a process of their own: what ends a process ends no more


def attack(kinds: list[str], seeds: range, ground: Path, scratch: Path) -> list[tuple[str, int, str]]:
    """Return what is wrong with an attack of each kind and seed, the empty text where nothing is."""
    chosen = [kind for kind in KINDS if kind.name in kinds]
    return [(kind.name, seed, run(kind, seed, ground, scratch)) for seed in seeds for kind in chosen]


def in_a_process(kinds: list[str], seeds: range, ground: Path, scratch: Path) -> list[tuple[str, int, str]]:
    """Attack in a process; where that dies, say of which kind and seed it died."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(attack(kinds, seeds, ground, scratch)))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        if len(kinds) * len(seeds) == 1:
            return [(kinds[0], seeds.start, f"the process died: {process.exitcode}")]
        ones = [(kind, range(seed, seed + 1)) for seed in seeds for kind in kinds]
        return [found for kind, seed in ones for found in in_a_process([kind], seed, ground, scratch)]
    finally:
        process.join()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=2000, help="inputs, over all kinds")
    options.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    options.add_argument("--kind", nargs="*", help="kinds to attack (all)")
    given = options.parse_args()
    torch.set_num_threads(1)
    kinds = [kind.name for kind in KINDS if not given.kind or kind.name in given.kind]
    last = given.first + -(-given.count // len(kinds))
    inputs: Counter[str] = Counter()
    wrong: dict[tuple[str, str], list[int]] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ground, scratch = Path(folder, "ground"), Path(folder, "scratch")
        prepare(ground)
        for first in range(given.first, last, SEEDS_AT_ONCE):
            seeds = range(first, min(first + SEEDS_AT_ONCE, last))
            for kind, seed, what in in_a_process(kinds, seeds, ground, scratch):
                inputs[kind] += 1
                if what:
                    wrong.setdefault((kind, what), []).append(seed)
    for name, count in inputs.items():
        print(
            f"{name:<16}{count:>7}  {sum(len(seeds) for (kind, _), seeds in wrong.items() if kind == name):>5} wrong"
        )
    for (kind, what), seeds in wrong.items():
        print(f"{len(seeds):>6}  {kind}: {what}  (seed {seeds[0]})")
    bad, seconds = sum(map(len, wrong.values())), time.monotonic() - started
    print(f"{inputs.total()} inputs, {bad} wrong, of {len(wrong)} kinds, {seconds:.0f} s")


if __name__ == "__main__":
    main()
