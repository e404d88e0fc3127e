"""How many 95 % intervals of accuracies hold the true one: data sets are drawn whose accuracy is known.

    python benchmarks/coverage.py [--sets 1000]

The accuracies p of the categories are of Beta(3, 2) or, skewed, of Beta(6, 0.9); a second space has p ** 0.8, and right
answers where the first has them. Categories have 50 questions each, or sizes of Google's, drawn at random. Prints the
table of docs/evaluate.md: of 100 intervals, how many hold the true accuracy and the true difference of the two spaces.
"""

import argparse
import math

import numpy as np

from kotovec.store.evaluation.scores import score

GOOGLE = (506, 4524, 2467, 866, 506, 992, 812, 1332, 1122, 1056, 1599, 1560, 1332, 870)
SIZES = {"of 50 questions": (50,), "of Google's sizes": GOOGLE}
BETAS = ((3, 2), (6, 0.9))
CATEGORIES = (5, 8, 14, 40)
POWER = 0.8


def main() -> None:
    """Draw, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="data sets per number [1000]")
    sets = parser.parse_args().sets
    columns = [(name, beta) for name in SIZES for beta in BETAS]
    print(f"| categories | {' | '.join(f'{name}, mean {a / (a + b):.2f}' for name, (a, b) in columns)} |")
    print("|" + "---|" * (len(columns) + 1))
    for count in CATEGORIES:
        cells = []
        for name, beta in columns:
            held = coverage(count, SIZES[name], beta, sets)
            cells.append(f"{100 * held[0]:.1f}, {100 * held[1]:.1f}")
        print(f"| {count} | {' | '.join(cells)} |", flush=True)


def coverage(count: int, sizes: tuple[int, ...], beta: tuple[float, float], sets: int) -> tuple[float, float]:
    """Return which shares of the intervals hold the true accuracy and the true difference; some have no interval."""
    random, (a, b) = np.random.default_rng(0), beta
    true = a / (a + b)
    difference = math.gamma(a + POWER) * math.gamma(a + b) / math.gamma(a) / math.gamma(a + b + POWER) - true
    words = [(np.arange(2), np.arange(2))] * count
    found: list[list[bool]] = [[], []]
    for _ in range(sets):
        accuracies = random.beta(a, b, size=count)
        chances = [random.random(size) for size in random.choice(sizes, size=count)]
        ranks = [
            [1 + (chance >= p**power).astype(np.int64) for chance, p in zip(chances, accuracies, strict=True)]
            for power in (1, POWER)
        ]
        first, second = score(ranks, words, [0, 0], seed=1)
        for held, estimate, value in zip(
            found, (first.accuracy[0], second.difference), (true, difference), strict=True
        ):
            if estimate is not None and estimate.low is not None and estimate.high is not None:
                held.append(estimate.low <= value <= estimate.high)
    return float(np.mean(found[0])), float(np.mean(found[1]))


if __name__ == "__main__":
    main()
