"""Cut a vocabulary into shards, and shards into batches, independently of the number of workers."""

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class ShardPlan:
    """A shard: rows [start, stop) of the token table, and the batches within it."""

    number: int
    start: int
    stop: int
    batches: tuple[tuple[int, int], ...]


def cut(total: int, shard_tokens: int, batch_tokens: int) -> tuple[ShardPlan, ...]:
    """Cut `total` rows into batches of one size, and those into shards of at most `shard_tokens`, small ones last.

    All batches have one size, as kotovec's own forward pass pads smaller ones to it. The last batch has the remaining
    rows, but never a single one: transformers' forward pass would use another kernel for it, with other last bits.
    """
    size = min(shard_tokens, batch_tokens)
    together = shard_tokens // size
    bounds = [*range(0, total, size), total]
    if total > 1 and bounds[-1] - bounds[-2] == 1:
        if size > 2:  # noqa: PLR2004 — a batch of two cannot give a row away
            bounds[-2] -= 1
        else:
            del bounds[-2]
    batches = list(pairwise(bounds))
    shards: list[ShardPlan] = []
    first = 0
    for count in _counts(len(batches), together):
        part = batches[first : first + count]
        start, stop = part[0][0], part[-1][1]
        shards.append(ShardPlan(len(shards), start, stop, tuple((first - start, last - start) for first, last in part)))
        first += count
    return tuple(shards)


def _counts(batches: int, together: int) -> list[int]:
    """Return how many batches each shard has, at most `together`.

    The counts are even except for the last shards, of which two have each size, down to a single batch, so that all
    workers finish at the same time.
    """
    last: list[int] = []
    while batches > together > (step := 2 ** (len(last) // 2)) and batches >= 2 * (sum(last) + step):
        last.append(step)
    rest = batches - sum(last)
    count = math.ceil(rest / together)
    return [rest * (number + 1) // count - rest * number // count for number in range(count)] + last[::-1]
