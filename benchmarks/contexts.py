"""How fast sentences are encoded: kotovec, transformers' and sentence-transformers' own batches, and the floor.

    python benchmarks/contexts.py --model minilm [--sentences 1000] [--layers last] [--rounds 3] [--peers a,b]

Sentences of real lengths: the Brown extract of the tests for the demo, the Tatoeba extract for the seeded Japanese
BERT-base. Everything runs in this process on one thread and in turn, after one round that is not counted; seconds are
those of its CPU, as other work on the machine would count otherwise.

- kotovec: what a worker does with the shards of a plan: batches of one length, hidden states at the positions of all
  items whose context a sentence is, and their exact sums per item. The shards are cut as in a build.
- transformers: AutoModel, batches of 32, sorted by length, padded, with a mask; nothing is gathered or summed.
- sentence-transformers: `encode` with token embeddings, batches of 32; sorts and pads itself.
- floor: the model's matrix products alone, for every position of every sentence in every layer, at the best of some
  numbers of rows. No attention, activation, norm or embedding.

Exits 1 if a promise does not hold; the numbers go to benchmarks/results/contexts-MODEL.json.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
from turns import RESULTS, Measure, Promise, find_kotovec, median, print_measured, print_promises, take_turns, write

CORPORA = Path(__file__).parents[1] / "tests" / "data"
TEXTS = {"minilm": CORPORA / "brown" / "english.txt"}
JAPANESE = CORPORA / "tatoeba" / "japanese.txt"
CONTEXTS = 50
BATCH = 32  # of the peers: 16 and 64 are no faster here
ROWS = (96, 192, 384, 576, 768, 1152, 2048)
TRIAL = 4096  # rows, of each size
PEERS = {"transformers": "transformers", "sentence-transformers": "sentence_transformers"}


def main() -> int:
    """Measure, print, write; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm", choices=checkpoints.NAMES, help="[minilm]")
    parser.add_argument("--sentences", type=int, default=1000, help="spread over the corpus [1000]")
    parser.add_argument("--layers", default="last", help="of kotovec, as `kotovec build` takes them [last]")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs [3]")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"[{','.join(PEERS)}], left out where not installed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    find_kotovec()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kotovec-contexts-") as name:
        folder = checkpoints.find(options.model, Path(name))
        plan, texts = planned(folder, TEXTS.get(options.model, JAPANESE), options.sentences, options.layers)
        positions = sum(len(plan.inputs(shard).ids) for shard in plan.shards)
        measures = {"kotovec": kotovec(plan), "floor": floor(plan, positions)}
        chosen = [peer for peer in options.peers.split(",") if find_spec(PEERS[peer])]
        measures |= {
            peer: {"transformers": padded, "sentence-transformers": pooled}[peer](folder, plan, texts)
            for peer in chosen
        }
        measured = take_turns(
            {label: rated(measure, positions) for label, measure in measures.items()}, options.rounds, warm_up=1
        )
    print_measured(measured, "rate", title=f"{options.model}: positions/s")
    promises = [Promise("kotovec / floor", *rates(measured, "kotovec", "floor"), at_least=0.85, unit="positions/s")]
    promises += [
        Promise(f"kotovec / {peer}", *rates(measured, "kotovec", peer), at_least=1.3, unit="positions/s")
        for peer in chosen
    ]
    lengths = np.concatenate([np.diff(plan.inputs(shard).offsets) for shard in plan.shards])
    wanted = sum(len(plan.inputs(shard).wanted) for shard in plan.shards)
    low, middle, high = np.percentile(lengths, (10, 50, 90)).tolist()
    note = (
        f"{len(lengths):,} sentences of {positions:,} positions with their template, {low:.0f} to {high:.0f} (10th to "
        f"90th percentile; median {middle:.0f}); {wanted:,} of them are wanted, of layer {plan.settings['layers']}."
    )
    path = write(f"contexts-{options.model}", measured, promises, folder=options.results, notes=[note])
    print(f"{note}\nwritten: {path}")
    return print_promises(promises)


def planned(folder: Path, corpus: Path, count: int, layers: str) -> tuple[Any, list[str]]:
    """Return the plan of the contexts of a corpus, and its sentences."""
    from kotovec.cluster.contexts.matching import make_matcher
    from kotovec.cluster.plan import Request, make_plan
    from kotovec.workers.tokenizer import list_vocabulary

    lines = list(dict.fromkeys(filter(None, corpus.read_text(encoding="utf-8").splitlines())))
    texts = lines[:: max(1, len(lines) // count)][:count]
    plan = make_plan(Request(model=str(folder), layers=layers, device="cpu"))
    matcher = make_matcher(list_vocabulary(plan.tokenizer, plan.model), plan.tokens)
    return plan.with_sample(drawn(plan, matcher, texts), matcher), texts


def drawn(plan: Any, matcher: Any, texts: list[str]) -> Any:
    """Return the sample of some sentences, as a scan would draw it."""
    from kotovec.cluster.corpus import hash_sentences
    from kotovec.store.contexts import Sample, offsets_of
    from kotovec.workers.splitter import Splitter

    hashes = hash_sentences(texts, 0)
    order = np.argsort(hashes)
    ids, offsets = Splitter(plan.tokenizer).split([texts[index] for index in order.tolist()])
    found = matcher.find(ids, offsets)
    pairs = np.unique(np.stack([found.rows, found.sentences], axis=1)[~found.inside], axis=0)
    ranks = np.arange(len(pairs)) - np.searchsorted(pairs[:, 0], pairs[:, 0])
    pairs = pairs[ranks < CONTEXTS]
    counts = np.bincount(pairs[:, 0], minlength=matcher.items)
    none = np.zeros(matcher.items, dtype=bool)
    sentences = pairs[:, 1].astype(np.int32)
    return Sample(hashes[order], offsets_of(counts), sentences, none, counts * 1.0, CONTEXTS, {}, None, ids, offsets)


# What runs


def rated(function: Callable[[], object], positions: int) -> Measure:
    """Return a measure of the CPU seconds of a function, and of its rate."""

    def run() -> dict[str, float]:
        begin, cpu = time.perf_counter(), time.process_time()
        function()
        seconds = time.process_time() - cpu
        return {"seconds": seconds, "rate": positions / seconds, "wall": time.perf_counter() - begin}

    return run


def kotovec(plan: Any) -> Callable[[], object]:
    """Return what encodes all shards."""
    from kotovec.workers.encoder import Encoder

    encoder = Encoder(plan.spec)
    encoder.load()
    inputs = [(shard.number, plan.inputs(shard)) for shard in plan.shards]
    return lambda: [encoder.encode(*each).tally for each in inputs]


def floor(plan: Any, positions: int) -> Callable[[], object]:
    """Return what multiplies, at the number of rows that is fastest."""
    import torch

    config = plan.model.pretrained_config
    products = Products(config.hidden_size, config.intermediate_size, config.num_hidden_layers)
    seconds = {}
    with torch.inference_mode():
        for rows in ROWS:
            products.run(rows, rows)  # kernels are made, or chosen, for a shape's first call
            begin = time.process_time()
            products.run(TRIAL, rows)
            seconds[rows] = time.process_time() - begin
    best = min(seconds, key=seconds.__getitem__)
    print(f"the floor takes {best} rows at a time", file=sys.stderr)
    return lambda: products.run(positions, best)


class Products:
    """Weights of the model's shapes, different ones for every layer, as the caches see them; random."""

    def __init__(self, width: int, inner: int, layers: int) -> None:
        import torch

        torch.manual_seed(0)
        shapes = ((3 * width, width), (width, width), (inner, width), (width, inner))
        self.layers = [[torch.randn(shape) / shape[1] ** 0.5 for shape in shapes] for _ in range(layers)]
        self.inputs = torch.randn(max(ROWS), width)

    def run(self, positions: int, rows: int) -> None:
        """Multiply for so many positions, `rows` at a time."""
        import torch
        from torch.nn.functional import linear

        with torch.inference_mode():
            for start in range(0, positions, rows):
                inputs = self.inputs[: min(rows, positions - start)]
                for query_key_value, output, up, down in self.layers:
                    linear(inputs, query_key_value)
                    linear(inputs, output)
                    linear(linear(inputs, up), down)


def padded(folder: Path, plan: Any, texts: list[str]) -> Callable[[], object]:
    """Return transformers' own forward pass, in padded batches of sentences sorted by length."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval()
    ids = sorted((plan.tokenizer(text)["input_ids"] for text in texts), key=len)
    batches = [
        plan.tokenizer.pad({"input_ids": ids[start : start + BATCH]}, return_tensors="pt")
        for start in range(0, len(ids), BATCH)
    ]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])

    return run


def pooled(folder: Path, _: Any, texts: list[str]) -> Callable[[], object]:
    """Return sentence-transformers' encoding of tokens."""
    from sentence_transformers import SentenceTransformer, models

    model = SentenceTransformer(modules=[models.Transformer(str(folder))], device="cpu")
    return lambda: model.encode(texts, batch_size=BATCH, output_value="token_embeddings", show_progress_bar=False)


def rates(measured: Any, one: str, other: str) -> tuple[float, float]:
    """Return the rates of two measures."""
    return median(measured, one, "rate"), median(measured, other, "rate")


if __name__ == "__main__":
    sys.exit(main())
