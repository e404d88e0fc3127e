"""The floor: the model's matrix products alone, for every token, all three positions and every layer.

For each batch and layer: queries, keys and values as one product (D to 3D), the attention's output (D to D), and the
two of the feed-forward part (D to F, F to D), through torch.nn.functional.linear. No attention, activation, norm,
bias or embedding. Two processes of one thread take half of the vocabulary each; the seconds are those of the slower
one. Every batch size is tried first, by both processes at once, and the best of them is taken.

    python floor.py MODEL [--dtype float32]
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import vocabulary

PROCESSES = 2
POSITIONS = 3
SIZES = (32, 64, 128, 192, 256, 512, 1024)  # tokens a batch
TRIAL = 1024  # tokens, of each size: some 5 s of BERT-base's


def main() -> None:
    """Multiply and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a BERT with a vocab.txt")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    tokens = len(vocabulary.texts(options.model))
    half = -(-tokens // PROCESSES)
    context = multiprocessing.get_context("spawn")
    barrier, trials, results = context.Barrier(PROCESSES), context.Queue(), context.Queue()
    best = [context.Queue() for _ in range(PROCESSES)]
    children = [
        context.Process(target=multiply, args=(config, options.dtype, count, barrier, trials, best[number], results))
        for number, count in enumerate((half, tokens - half))
    ]
    for child in children:
        child.start()
    tried = [trials.get(timeout=600) for _ in children]
    seconds = {size: max(times[size] for times in tried) for size in SIZES}
    batch = min(seconds, key=seconds.__getitem__)
    for queue in best:
        queue.put(batch)
    slowest = max(results.get(timeout=3600) for _ in children)
    for child in children:
        child.join()
    vocabulary.tell(tokens, slowest, batch=batch, trial_seconds=seconds, dtype=options.dtype)


def multiply(
    config: dict[str, Any], dtype: str, tokens: int, barrier: Any, trials: Any, best: Any, results: Any
) -> None:
    """Try the batch sizes, then take the best one for `tokens` tokens."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    products = Products(config, getattr(torch, dtype))
    times = {}
    with torch.inference_mode():
        for size in SIZES:
            products.run(size, size)  # a warm-up: kernels are made, or chosen, for a shape's first call
            barrier.wait(600)
            begin = time.perf_counter()
            products.run(TRIAL, size)
            times[size] = time.perf_counter() - begin
        trials.put(times)
        batch = best.get(timeout=600)
        products.run(batch, batch)
        barrier.wait(600)
        begin = time.perf_counter()
        products.run(tokens, batch)
        results.put(time.perf_counter() - begin)


class Products:
    """Weights of the model's shapes, different ones for every layer, as the caches see them; random."""

    def __init__(self, config: dict[str, Any], dtype: Any) -> None:
        import torch

        self.width, inner = config["hidden_size"], config["intermediate_size"]
        shapes = ((3 * self.width, self.width), (self.width, self.width), (inner, self.width), (self.width, inner))
        # Scaled so that no product grows or vanishes: denormal numbers would be slow, and no model has them.
        self.layers = [
            [(torch.randn(shape) / shape[1] ** 0.5).to(dtype) for shape in shapes]
            for _ in range(config["num_hidden_layers"])
        ]
        self.inputs = torch.randn(max(SIZES) * POSITIONS, self.width).to(dtype)

    def run(self, tokens: int, batch: int) -> None:
        """Multiply for `tokens` tokens, `batch` at a time."""
        from torch.nn.functional import linear

        for start in range(0, tokens, batch):
            inputs = self.inputs[: min(batch, tokens - start) * POSITIONS]
            for query_key_value, output, up, down in self.layers:
                linear(inputs, query_key_value)
                linear(inputs, output)
                linear(linear(inputs, up), down)


if __name__ == "__main__":
    main()
