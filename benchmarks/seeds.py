"""Whether the reliability of means over contexts is what another sample shows: two stores of two seeds, compared.

    kotovec build MODEL --corpus CORPUS --contexts N --seed 0 --store a.kotovec
    kotovec build MODEL --corpus CORPUS --contexts N --seed 1 --store b.kotovec
    python benchmarks/seeds.py a.kotovec b.kotovec [--space context@6] [--json FILE]

The items are those that have all N contexts and more than one vector in both stores. Of these, in float64: the
reliability that each store predicts by itself (store/spread.py), and the correlation of the two stores' means, centred
in each dimension, with the 95 % interval of 2,000 bootstrap samples of the items (seed 0). The prediction is of a
corpus without end. Of an item with 2 N sentences, half of those of the second sample were in the first: the items
with 20 N or more have a row of their own. What `kotovec info` says, of all items, comes last.
"""

import argparse
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from turns import find_kotovec

SAMPLES = 2000
ENOUGH = 20  # sentences for each one that is drawn: two samples share a twentieth, or less
FEWEST = 3  # items that are compared
BLOCK = 100  # bootstrap samples at a time: (BLOCK, items) weights
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampled:
    """The means of a store's items over a sample of contexts.

    Attributes:
        vectors: (V, D) float64.
        n, uses: (V,) int64, how many contexts and how many vectors each is the mean of.
        energy: (V,) float64, mean squared norms of these vectors.
        seen: (V,) float64, how many sentences of the corpus have each.
        limit: N.
        seed: what drew the contexts.
        stated: the reliability of all items, as the build found it.
    """

    vectors: Doubles
    n: npt.NDArray[np.int64]
    uses: npt.NDArray[np.int64]
    energy: Doubles
    seen: Doubles
    limit: int
    seed: int
    stated: float | None

    @property
    def full(self) -> npt.NDArray[np.bool_]:
        """Which items have all contexts, and more than one vector."""
        return (self.n >= self.limit) & (self.uses > 1)

    def predicted(self, chosen: npt.NDArray[np.bool_]) -> float | None:
        """Return the reliability of some items, (V,) bool, that this sample predicts."""
        from kotovec.store.spread import Directions, Means, measure

        vectors, uses = self.vectors[chosen], self.uses[chosen]
        directions = Directions(vectors.shape[1])
        directions.add(vectors, uses > 1)
        means = Means(np.linalg.norm(vectors, axis=1), self.n[chosen], uses, self.energy[chosen])
        return measure(means, directions).reliability


def main() -> None:
    """Compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs=2, metavar="STORE")
    parser.add_argument("--space", help="which space of means [the last layer of context]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    find_kotovec()
    from kotovec import Store

    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(Store.open(path)) for path in options.stores)
        if one.tokens.texts.block != other.tokens.texts.block:
            raise SystemExit("the stores have other tokens")
        result = compare(*(read(store, options.space) for store in (one, other)))
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def read(store: Any, name: str | None) -> Sampled:
    """Read a space of means."""
    spaces = [space for space in store.spaces if str(space) == name or (name is None and space.name == "context")]
    if not spaces:
        raise SystemExit(f"a store has no {name or 'context'}")
    from kotovec.store.contexts import read_contexts
    from kotovec.store.layout import Layout

    space, vectors = spaces[-1], store.vectors
    settings = vectors.settings(space)
    return Sampled(
        np.asarray(store.array(space), dtype=np.float64),
        *(vectors.part(space, part) for part in ("n", "uses", "energy")),
        seen=read_contexts(Layout(store.path).contexts, None).occurrences,
        limit=settings["contexts"],
        seed=settings.get("seed", 0),
        stated=vectors.made(space).get("spread", {}).get("reliability"),
    )


def compare(one: Sampled, other: Sampled) -> dict[str, Any]:
    """Return the reliability that each of two samples predicts, and their correlation."""
    if one.limit != other.limit:
        raise SystemExit(f"one store has {one.limit} contexts of an item, the other {other.limit}")
    if one.seed == other.seed:
        raise SystemExit(f"both samples were drawn with the seed {one.seed}")
    full = one.full & other.full
    if full.sum() < FEWEST:
        raise SystemExit(f"{full.sum()} items have all contexts in both stores")
    rows = [(0, full), (ENOUGH * one.limit, full & (np.minimum(one.seen, other.seen) >= ENOUGH * one.limit))]
    rows = [(least, chosen) for least, chosen in rows if chosen.sum() >= FEWEST]
    return {
        "contexts": one.limit,
        "stated": [one.stated, other.stated],
        "rows": [{"least": least, **found(one, other, chosen)} for least, chosen in rows],
    }


def found(one: Sampled, other: Sampled, chosen: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return what two samples predict of some items, (V,) bool, and how they correlate."""
    vectors = one.vectors[chosen], other.vectors[chosen]
    low, high = interval(*vectors)
    return {
        "items": int(chosen.sum()),
        "predicted": [one.predicted(chosen), other.predicted(chosen)],
        "found": float(correlation(*vectors, np.ones((1, len(vectors[0]))))[0]),
        "low": low,
        "high": high,
    }


def interval(one: Doubles, other: Doubles) -> tuple[float, float]:
    """Return the 95 % bootstrap interval, over the items, of the correlation of two (n, D) arrays of means."""
    random, items = np.random.default_rng(0), len(one)
    found = []
    for _ in range(0, SAMPLES, BLOCK):
        weights = random.multinomial(items, np.full(items, 1 / items), size=BLOCK).astype(np.float64)
        found.append(correlation(one, other, weights))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)


def correlation(one: Doubles, other: Doubles, weights: Doubles) -> Doubles:
    """Return the correlation of two (n, D) arrays over items and dimensions, centred in each dimension.

    Args:
        one: an array.
        other: the other one.
        weights: (b, n), how often each item counts in each of b samples.
    """

    def covariance(left: Doubles, right: Doubles) -> Doubles:
        about_zero = weights @ np.einsum("ij,ij->i", left, right)
        centre: Doubles = ((weights @ left) * (weights @ right)).sum(axis=1) / weights.sum(axis=1)
        return np.asarray(about_zero - centre, dtype=np.float64)

    one, other = one - one.mean(axis=0), other - other.mean(axis=0)  # else digits are lost where the mean is far off
    return covariance(one, other) / np.sqrt(covariance(one, one) * covariance(other, other))


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print("| N | sentences of an item | items | predicted by each | found |")
    print("|---:|---|---:|---|---|")
    for row in result["rows"]:
        least = f"{row['least']:,} or more" if row["least"] else f"{result['contexts']:,} or more"
        interval = f"{row['found']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        print(f"| {result['contexts']} | {least} | {row['items']:,} | {shown(row['predicted'])} | {interval} |")
    print(f"\nkotovec info, of all items: {shown(result['stated'])}")


def shown(values: list[float | None]) -> str:
    """Return numbers that may be missing, for a person."""
    return ", ".join("-" if value is None else f"{value:.3f}" for value in values)


if __name__ == "__main__":
    main()
