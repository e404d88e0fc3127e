"""One replica on a CUDA device, without Ray: its encoding against a matrix product, where its time goes, and search.

    python benchmarks/gpu.py [--device cuda] [--model bert-base] [--dtype bfloat16] [--rounds N]

- encoding: BERT-base's whole vocabulary by kotovec's Encoder, in the plan's shards and batches; its rate is that of
  the model's matrix products, full and unreduced (as peers/floor.py counts them), over the seconds of everything.
- sentences: 16,384 of them, of random tokens, as long as those of the Brown corpus, in the same model; every fourth
  position is wanted. Its rate counts the products of all positions.
- matrix: two square matrices of 8192 multiplied in the same dtype; it takes turns with the encoding.
- breakdown: one more encoding under torch's profiler: the device's time by operation, and what is left of the wall
  time, in which the device waits for the host.
- search: 10,000 expressions over 32,000 x 768 with faiss' Flat index on the GPU and on the CPU; the answers must be
  equal.

Exits 1 if the encoding is below 40 % of the matrix product's rate, or answers differ. Where there is no CUDA device
it says so and exits 0; `--device cpu --model tiny` runs the same code anywhere, small, and promises nothing.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import checkpoints
from turns import (
    RESULTS,
    Measure,
    Promise,
    call,
    find_kotovec,
    median,
    print_measured,
    print_promises,
    take_turns,
    write,
)

if TYPE_CHECKING:
    from kotovec.workers.inputs import Inputs

LEAST = 0.4  # of the matrix product's rate
SIDE, SMALL_SIDE = 8192, 512
PRODUCTS = 20  # matrix products a round
POSITIONS = 3  # of [CLS] token [SEP]
QUESTIONS, FEW_QUESTIONS = 10_000, 100
SENTENCES, FEW_SENTENCES = 16_384, 64
# Deciles of the lengths of the Brown corpus' 57,340 sentences in the demo's tokens, [CLS] and [SEP] included; the last
# is the 99th percentile.
LENGTHS = (3, 9, 12, 16, 19, 22, 26, 30, 35, 44, 73)
# torch's operations by what they are for; what is not here is "other".
KINDS = {
    "matrix products": ("addmm", "mm", "bmm", "linear", "baddbmm", "mkldnn_linear", "_addmm_activation"),
    "attention": (
        "scaled_dot_product",
        "flash_attention",
        "efficient_attention",
        "cudnn_attention",
        "softmax",
        "_attention_kernel",
    ),
    "norms": ("layer_norm",),
    "activation": ("gelu",),
    "copies": ("copy_", "cat", "contiguous", "clone", "_to_copy"),
    "embeddings": ("index", "embedding", "gather"),
    "sums": ("add", "add_", "mul", "sub", "div"),
}


def main() -> int:
    """Measure, print, write; return 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="[cuda]")
    parser.add_argument("--model", default="bert-base", choices=checkpoints.NAMES, help="[bert-base]")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16"], help="[bfloat16]")
    parser.add_argument("--rounds", type=int, default=5, help="[5]")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the file of results")
    options = parser.parse_args()
    find_kotovec()
    import faiss  # noqa: F401 — before torch: they share OpenMP
    import torch

    on_gpu = options.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        print("no CUDA device here (torch sees none): nothing was measured")
        return 0
    with tempfile.TemporaryDirectory(prefix="kotovec-gpu-") as name:
        folder = Path(name)
        encodings, operations = encoding(checkpoints.find(options.model, folder), options.device, options.dtype)
        encode = encodings["encoding"]
        measures = encodings | {"matrix": matrix(options.device, options.dtype)}
        measured = take_turns(measures, options.rounds, warm_up=1)
        spent = breakdown(encode, on_gpu=on_gpu)
        asked, differing = search(folder / "synthetic.kotovec", options.device)
        measured |= take_turns(asked, options.rounds)
    for label, work in (operations | {"matrix": 2.0 * PRODUCTS * side(options.device) ** 3}).items():
        measured[label]["rate"] = [work / seconds / 1e12 for seconds in measured[label]["seconds"]]
    print_measured(measured, "seconds")
    print_measured(measured, "rate", title="10^12 operations/s")
    print_breakdown(spent)
    if not on_gpu:
        return 0
    device = torch.cuda.get_device_name()
    rates = {label: median(measured, label, "rate") for label in ("encoding", "sentences", "matrix")}
    promises = [
        Promise("encoding / matrix product", rates["encoding"], rates["matrix"], at_least=LEAST, unit="TFLOP/s"),
        Promise("answers of the GPU that are not the CPU's", float(differing), at_most=0.0, unit="answers"),
    ]
    notes = [f"Device: {device}.", f"Of one encoding, in seconds: {json.dumps(spent)}."]
    path = write("gpu", measured, promises, folder=options.results, device=device, breakdown=spent, notes=notes)
    print(f"written: {path}")
    return print_promises(promises)


def side(device: str) -> int:
    """Return the side of the matrices: small on a CPU, where this is only tried."""
    return SIDE if device == "cuda" else SMALL_SIDE


# What runs


def encoding(model: Path, device: str, dtype: str) -> tuple[dict[str, Measure], dict[str, float]]:
    """Return what encodes the vocabulary, and sentences, with one replica, and how many operations their products are.

    The sentences are not quoted as a promise: their lengths differ, and a batch has one length.
    """
    from kotovec.cluster.plan import Request, make_plan
    from kotovec.workers.encoder import Encoder

    plan = make_plan(Request(model=str(model), device=device, dtype=dtype))
    encoder = Encoder(plan.spec)
    encoder.load()
    sentences = random_sentences(len(plan.tokens), SENTENCES if device == "cuda" else FEW_SENTENCES)

    def encode() -> None:
        for shard in plan.shards:
            encoder.encode(shard.number, plan.inputs(shard))

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    products = config["num_hidden_layers"] * (4 * width * width + 2 * width * inner)
    operations = {
        "encoding": 2.0 * len(plan.tokens) * POSITIONS * products,
        "sentences": 2.0 * len(sentences.ids) * products,
    }
    return {"encoding": call(encode), "sentences": call(lambda: encoder.encode(0, sentences))}, operations


def random_sentences(tokens: int, count: int) -> "Inputs":
    """Return sentences of random tokens, whose lengths are those of `LENGTHS`, and every fourth position of them."""
    import numpy as np

    from kotovec.workers.inputs import Inputs

    random = np.random.default_rng(0)
    deciles = np.linspace(0, 1, len(LENGTHS))
    lengths = np.interp(random.random(count), deciles, LENGTHS).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Inputs(random.integers(tokens, size=offsets[-1]), offsets, np.arange(0, offsets[-1], 4))


def matrix(device: str, dtype: str) -> Measure:
    """Return what multiplies two square matrices, again and again; its seconds end when the device is done."""
    import torch

    length = side(device)
    one, other = (torch.randn(length, length, device=device).to(getattr(torch, dtype)) for _ in range(2))

    def multiply() -> None:
        with torch.inference_mode():
            for _ in range(PRODUCTS):
                torch.mm(one, other)
        finish(device)

    return call(multiply)


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def breakdown(encode: Callable[[], object], *, on_gpu: bool) -> dict[str, float]:
    """Return seconds by what they were spent on: the device's (or the CPU's) by operation, and the rest of the wall.

    The profiler slows the host down: `waiting` is more than it is without it.
    """
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        begin = time.perf_counter()
        encode()
        wall = time.perf_counter() - begin
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        # An operation has the time of the kernels that it launched; the kernels' own rows would count it again, except
        # for Triton's, which no operation launches.
        if event.device_type == DeviceType.CPU or event.key == "_attention_kernel":
            microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            spent[kind_of(event.key)] += microseconds / 1e6
    found = {kind: round(seconds, 4) for kind, seconds in sorted(spent.items(), key=lambda item: -item[1]) if seconds}
    return found | {"waiting": round(max(0.0, wall - sum(spent.values())), 4), "wall": round(wall, 4)}


def kind_of(operation: str) -> str:
    """Return what one of torch's operations is for."""
    name = operation.rpartition("::")[2]
    for kind, parts in KINDS.items():
        exact = kind in ("matrix products", "copies", "sums")
        if name in parts if exact else any(part in name for part in parts):
            return kind
    return "other"


def search(store: Path, device: str) -> tuple[dict[str, Measure], int]:
    """Return what asks many questions at once, on both devices, and how many answers differ."""
    from startup import make_store

    from kotovec.store import Store
    from kotovec.store.library import gpus

    if device == "cuda" and gpus() == 0:
        sys.exit("faiss sees no GPU, torch does: install the extra 'gpu' or 'gpu-cu13' instead of 'cpu'")
    opened = Store.open(make_store(store))
    count = QUESTIONS if device == "cuda" else FEW_QUESTIONS
    numbers = [(place * 7919) % (len(opened.tokens) - 2) for place in range(count)]
    questions = [f"#{number} - #{number + 1} + #{number + 2}" for number in numbers]
    answers = {where: opened.search_many(questions, device=where) for where in {"cpu", device}}
    pairs = zip(answers["cpu"], answers[device], strict=True)
    differing = sum(mine.results != theirs.results for mine, theirs in pairs)

    def ask(where: str) -> Measure:
        return call(lambda: opened.search_many(questions, device=where))

    return {f"{count:,} questions, {where}": ask(where) for where in answers}, differing


def print_breakdown(spent: dict[str, Any]) -> None:
    """Print what the encoding's time was spent on."""
    wall = spent["wall"]
    print("encoding, by operation")
    for kind, seconds in spent.items():
        print(f"{kind:18}{seconds:10.3f} s{seconds / wall:8.1%}")
    print()


if __name__ == "__main__":
    sys.exit(main())
