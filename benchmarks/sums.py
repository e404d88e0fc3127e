"""What a driver can take of contexts: the sums of shards checked, written and folded, against the time of a worker.

    python benchmarks/sums.py [--model bert-base] [--layers last,all] [--shards 24] [--sentences 2000]

The shards are those of a build, of sentences of real lengths (as in contexts.py). A worker's time is measured on some
of them, encoded for every list of layers on one thread. The driver's is measured on as many shards as are asked for,
with random numbers for sums, through kotovec's own checks, shard files and folds, without Ray: what the object store
adds is in scale.py, 0.5 ms for 6 MB. Both are seconds of the processor, as other work on the machine would count
otherwise; the driver's own time on the clock, with waiting for the disk, is beside it. One driver serves as many cores
as a worker takes times longer.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
from contexts import JAPANESE, TEXTS, planned
from turns import find_kotovec

ENCODED = 3  # shards, to measure a worker
LARGEST = 1 << 40  # of the numbers that are drawn


def main() -> None:
    """Measure, and print a row of JSON for each list of layers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bert-base", choices=checkpoints.NAMES, help="[bert-base]")
    parser.add_argument("--layers", default="last,all", help="lists of layers, as `kotovec build` takes them")
    parser.add_argument("--shards", type=int, default=24, help="that the driver takes [24]")
    parser.add_argument("--sentences", type=int, default=2000, help="of the corpus [2000]")
    options = parser.parse_args()
    find_kotovec()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kotovec-sums-") as name:
        folder = checkpoints.find(options.model, Path(name))
        for layers in options.layers.split(","):
            plan, _ = planned(folder, TEXTS.get(options.model, JAPANESE), options.sentences, layers)
            print(
                json.dumps({"layers": len(plan.spec.layers), **measure(plan, options.shards, Path(name))}), flush=True
            )


def measure(plan: Any, count: int, folder: Path) -> dict[str, float]:
    """Return what a worker and the driver take for a shard of a plan, on average."""
    shards = sorted(plan.shards, key=plan.sentences.contexts)[-ENCODED:]  # the last one of all is cut short
    positions = [len(plan.inputs(shard).ids) for shard in shards]
    worker = encoding(plan, shards)
    rows = [len(np.unique(plan.inputs(shard).rows)) for shard in shards]
    cpu, clock, folds = taking(plan, int(np.mean(rows)), count, folder)
    size = float(np.mean(rows)) * plan.sum_row_bytes / 1e6
    return {
        "positions": round(float(np.mean(positions))),
        "MB": round(size, 1),
        "worker s": round(worker, 3),
        "driver s": round(cpu, 3),
        "driver's clock s": round(clock, 3),
        "driver MB/s": round(size / cpu, 1),
        "folds": folds,
        "cores per driver": round(worker / max(cpu, clock), 1),
    }


def encoding(plan: Any, shards: list[Any]) -> float:
    """Return the seconds of the processor that a worker takes for one of some shards, after one that is not counted."""
    from kotovec.workers.encoder import Encoder

    encoder = Encoder(plan.spec)
    encoder.load()
    inputs = [(shard.number, plan.inputs(shard)) for shard in shards]
    encoder.encode(*inputs[0])
    begin = time.process_time()
    for each in inputs:
        encoder.encode(*each)
    return (time.process_time() - begin) / len(inputs)


def taking(plan: Any, rows: int, count: int, folder: Path) -> tuple[float, float, int]:
    """Return the seconds, of the processor and on the clock, that the driver takes for a shard, and how often it folds.

    Args:
        plan: the plan.
        rows: rows that a shard has sums of.
        count: number of shards.
        folder: where they are written, and deleted.
    """
    from kotovec.cluster.contexts.means import Averaged
    from kotovec.store import means
    from kotovec.store.layout import FOLD, Layout

    random, folds, fold = np.random.default_rng(0), 0, means.fold

    def folding(sums: Any) -> Any:
        nonlocal folds
        folds += 1
        return fold(sums)

    with tempfile.TemporaryDirectory(dir=folder) as name:
        layout = Layout(Path(name, "store"))
        layout.shards.mkdir(parents=True)
        job = Averaged(plan, plan.sentences, layout)
        means.fold = folding
        cpu = clock = 0.0
        try:
            for number in range(count):
                shard = replace(plan.shards[0], number=number)
                encoded = made(plan, number, rows, random)
                before = time.process_time(), time.monotonic()
                job.check(shard, encoded)
                job.write(shard, encoded)
                cpu, clock = cpu + time.process_time() - before[0], clock + time.monotonic() - before[1]
        finally:
            means.fold = fold
        assert folds == 0 or (layout.shards / FOLD).is_file()
    return cpu / count, clock / count, folds


def made(plan: Any, number: int, rows: int, random: np.random.Generator) -> Any:
    """Return a shard of random sums, as a worker would."""
    from kotovec.workers.encoder import Encoded
    from kotovec.workers.totals import Tally

    names = plan.spec.spaces
    arrays = {name: random.integers(-LARGEST, LARGEST, (rows, plan.size)) for name in names}
    energies = {name: random.integers(0, LARGEST, (rows, 2)) for name in names}
    chosen = np.sort(random.choice(len(plan.tokens), rows, replace=False))
    tally = Tally(chosen, np.ones(rows, dtype=np.int64), energies, np.ones(rows, dtype=bool))
    return Encoded(number, arrays, "host", "cpu", plan.spec.forward, tally=tally)


if __name__ == "__main__":
    main()
