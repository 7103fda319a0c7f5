"""How often equal methods are called different at p < .05: by seeds alone, and by seeds with test photos.

Two methods with the same expected figures. Each has photos that suit it, so that on one test set one of them is ahead
with every seed; seeds differ in skill, and every seed has noise of its own on every photo. Photos come alone or in
bursts of near-copies. A rate of .05 is what p promises.

python benchmarks/type_one_error.py [--rounds 2000]
"""

import argparse
from math import sqrt

import numpy as np

from fscl.scoring.crossed import crossed_t, photo_parts
from fscl.scoring.statistics import paired_t

RARE = np.array([False, True])
FIGURES = ("auroc", "balanced_accuracy", "minority_recall")
CASES = {  # seeds, common and rare test photos, photos of a burst, what suits a method, spread of seeds, noise
    "3 seeds, 300 + 300 photos": (3, (300, 300), 1, 0.6, 0.15, 0.5),
    "5 seeds, 300 + 300 photos": (5, (300, 300), 1, 0.6, 0.15, 0.5),
    "10 seeds, 300 + 300 photos": (10, (300, 300), 1, 0.6, 0.15, 0.5),
    "30 seeds, 300 + 300 photos": (30, (300, 300), 1, 0.6, 0.15, 0.5),
    "10 seeds, 1,000 + 30 photos": (10, (1000, 30), 1, 0.6, 0.15, 0.5),
    "10 seeds, 300 + 300 photos in bursts of 5": (10, (300, 300), 5, 0.6, 0.15, 0.5),
    "5 seeds that differ much, noise": (5, (300, 300), 1, 0.3, 0.5, 1.5),
    "5 seeds, no photo suits either": (5, (300, 300), 1, 0.0, 0.15, 0.5),
}


def methods(generator, seeds, counts, burst, suits, spread, noise):
    """Return labels, bursts and logits (methods, seeds, photos, 2) of two methods that are equally good."""
    labels = np.repeat([0, 1], counts)
    bursts = np.concatenate([np.arange(counts[0]) // burst, counts[0] + np.arange(counts[1]) // burst])
    of_burst = generator.normal(size=(3, bursts.max() + 1))[:, bursts]
    skill = 1.5 + spread * generator.normal(size=(2, seeds, 1))
    offset = 0.7 + spread * generator.normal(size=(2, seeds, 1))
    scores = skill * labels + of_burst[0] + suits * of_burst[1:, None] - offset
    scores = scores + noise * generator.normal(size=(2, seeds, len(labels)))
    return labels, bursts, np.stack([np.zeros_like(scores), scores], axis=-1)


def rejected(generator, case):
    """Return for each figure whether seeds alone, and seeds with test photos, call the methods different."""
    labels, bursts, logits = methods(generator, *case)
    parts = [[photo_parts(model, labels, RARE) for model in method] for method in logits]
    found = {}
    for figure in FIGURES:
        own, other = (np.array([model[figure] for model in method]) for method in parts)
        a, b = (sum(p[:, labels == c].mean(axis=1) for c in (0, 1)) / (1 + (figure == "auroc")) for p in (own, other))
        tests = paired_t(list(a), list(b)), crossed_t(list(a - b), own - other, labels, bursts)
        found[figure] = [test is not None and test.p is not None and test.p < 0.05 for test in tests]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    print(f"{rounds} rounds, a rate of .05 has a standard error of {sqrt(0.05 * 0.95 / rounds):.3f}")
    print(f"| case | {' | '.join(f'{figure}: seeds alone, with photos' for figure in FIGURES)} |")
    for place, (name, case) in enumerate(CASES.items()):
        generator = np.random.default_rng(place)
        found = [rejected(generator, case) for _ in range(rounds)]
        rates = [np.mean([each[figure] for each in found], axis=0) for figure in FIGURES]
        print(f"| {name} | {' | '.join(f'{alone:.3f}, {crossed:.3f}' for alone, crossed in rates)} |", flush=True)


if __name__ == "__main__":
    main()
