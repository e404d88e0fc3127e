"""The benchmarks: their statistics, their promises and their files of results, with fakes that take no time."""

import dataclasses
import importlib
import json
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kotovec.space import Space
from kotovec.store import Store
from kotovec.store.contexts import Sample, offsets_of, write_contexts
from kotovec.store.layout import Layout

import stores

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def path():
    """Benchmarks are scripts: they find each other in their own folder."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def script(name):
    return importlib.import_module(name)


def returns(**numbers):
    """A measure that took so much, without having done anything."""
    return lambda: numbers


# turns.py


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30))
def test_a_spread_is_what_numpy_says_of_the_same_numbers(numbers):
    spread = script("turns").Spread.of(numbers)
    expected = np.percentile(numbers, [50, 25, 75, 0, 100])
    found = [spread.median, spread.low, spread.high, spread.least, spread.most]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert spread.rounds == len(numbers)


def test_things_take_turns_and_what_warms_up_is_not_counted():
    turns, order = script("turns"), []

    def measure(label):
        def run():
            order.append(label)
            return {"seconds": len(order)}

        return run

    measured = turns.take_turns({"a": measure("a"), "b": measure("b")}, 3, warm_up=1, quiet=True)
    assert "".join(order) == "abababab"
    assert measured == {"a": {"seconds": [3.0, 5.0, 7.0]}, "b": {"seconds": [4.0, 6.0, 8.0]}}
    assert turns.median(measured, "b") == 6.0


@pytest.mark.parametrize(
    ("ours", "other", "bounds", "holds"),
    [
        (125.0, 100.0, {"at_least": 1.25}, True),
        (124.9, 100.0, {"at_least": 1.25}, False),
        (1.3, 1.0, {"at_most": 1.3}, True),
        (1.31, 1.0, {"at_most": 1.3}, False),
        (4.9, None, {"at_most": 5.0}, True),
        (5.1, None, {"at_most": 5.0}, False),
        (2.0, 1.0, {"at_least": 1.0, "at_most": 1.5}, False),
        (float("nan"), 1.0, {"at_most": 1.5}, False),
        (float("nan"), 1.0, {"at_least": 1.5}, False),
    ],
)
def test_a_promise_that_does_not_hold_says_so_with_both_numbers_and_ends_in_exit_code_1(
    ours, other, bounds, holds, capsys
):
    turns = script("turns")
    kept = turns.Promise("kept", 1.0, 2.0, at_most=1.0)
    assert turns.print_promises([kept, turns.Promise("this one", ours, other, **bounds)]) == (0 if holds else 1)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "kept: 1 s / 2 s = 0.50, promised at most 1: holds"
    assert second.startswith(f"this one: {ours:g} s")
    assert (f"/ {other:g} s = {ours / other:.2f}" in second) if other else "/" not in second
    assert second.endswith(": holds" if holds else ": DOES NOT HOLD")


def test_a_file_of_results_tells_every_number_and_on_what_it_was_measured(tmp_path, monkeypatch):
    turns = script("turns")
    monkeypatch.setattr(sys, "argv", [str(BENCHMARKS / "query.py"), "--rounds", "2"])
    measured = {"a": {"seconds": [1.0, 3.0]}}
    promises = [turns.Promise("a over b", 2.0, 4.0, at_most=0.4)]
    path = turns.write("query", measured, promises, folder=tmp_path / "new", notes=["A note."])
    assert path == tmp_path / "new" / "query.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["command"] == "python benchmarks/query.py --rounds 2", "no path of this machine"
    assert record["measured"]["a"]["seconds"] == {
        "median": 2.0,
        "low": 1.5,
        "high": 2.5,
        "least": 1.0,
        "most": 3.0,
        "rounds": 2,
        "values": [1.0, 3.0],
    }
    (promise,) = record["promises"]
    assert (promise["ours"], promise["other"], promise["value"], promise["holds"]) == (2.0, 4.0, 0.5, False)
    assert record["notes"] == ["A note."]
    assert set(record["machine"]) >= {"cpu", "cores", "memory_bytes", "instruction_set", "load_average"}
    assert set(record["versions"]) >= {"python", "kotovec", "torch", "transformers", "ray", "numpy", "h5py"}
    assert record["versions"]["numpy"] == np.__version__


# encode.py


def measured_as(**rates):
    """What encode.py measures, where each measure encodes 32,000 tokens at a rate and starts in 10 s."""
    found = {}
    for label, rate in rates.items():
        encode = 32_000 / rate
        found[label.replace("_", " ")] = {
            "whole": [encode + 10.0],
            "encode": [encode],
            "rate": [rate],
            "rest": [4.0],
        }
    return found


def test_what_is_promised_of_the_encoding_is_held_against_the_right_numbers():
    encode = script("encode")
    measured = measured_as(
        kotovec=950.0, floor=1000.0, model2vec=700.0, article=16.0, kotovec_bfloat16=1800.0, **{"ray-data": 900.0}
    )
    promises = encode.promised("bert-base", measured, {"avx512_bf16"})
    values = {promise.text: promise.value for promise in promises}
    whole = 32_000 / 950 + 10
    assert values == pytest.approx(
        {
            "encoding, kotovec / model2vec": 950 / 700,
            "encoding, kotovec / floor": 0.95,
            "encoding, kotovec in bfloat16 / in float32": 1800 / 950,
            "whole process, kotovec / ray-data": whole / (32_000 / 900 + 10),
            "whole process, kotovec / article": whole / 2010,
            "whole process, article / kotovec": 2010 / whole,
            "everything but encoding and the start of Ray and its workers": 4.0,
        }
    )
    assert all(promise.holds for promise in promises)
    slower = encode.promised("minilm", measured_as(kotovec=880.0, floor=1000.0, model2vec=880.0), set())
    assert [promise.holds for promise in slower] == [False, False, True]
    assert [promise.value for promise in slower] == pytest.approx([1.0, 0.88, 1.0])


def test_of_bfloat16_nothing_is_promised_where_the_processor_lacks_it():
    encode = script("encode")
    measured = measured_as(kotovec=950.0, kotovec_bfloat16=900.0)
    assert not any("bfloat16" in promise.text for promise in encode.promised("minilm", measured, {"avx2"}))
    assert any("bfloat16" in promise.text for promise in encode.promised("minilm", measured, {"amx_bf16"}))


def test_where_the_time_of_a_build_went_is_told_and_adds_up():
    numbers = {
        "whole": [30.0, 40.0, 50.0],
        "encode": [20.0],
        "rate": [1.0],
        "rest": [9.0],
        "start": [8.0],
        "load": [3.0],
    }
    said = "kotovec's 40.0 s in float32: encode 20.0, start 8.0, load 3.0; imports, checks and the end of Ray 9.0."
    assert script("encode").phases(numbers) == said


@pytest.mark.parametrize(("floor", "code"), [(1000.0, 0), (2000.0, 1)])
def test_encode_exits_1_where_a_promise_does_not_hold_and_writes_what_it_measured(
    floor, code, tmp_path, monkeypatch, capsys
):
    encode = script("encode")
    monkeypatch.setattr(
        encode,
        "measures",
        lambda *_: {
            label: returns(**{name: values[0] for name, values in numbers.items()})
            for label, numbers in measured_as(kotovec=950.0, floor=floor).items()
        },
    )
    monkeypatch.setattr(encode.checkpoints, "find", lambda name, folder: folder / name)
    monkeypatch.setattr(sys, "argv", ["encode.py", "--rounds", "2", "--peers", "floor", "--results", str(tmp_path)])
    assert encode.main() == code
    assert ("DOES NOT HOLD" in capsys.readouterr().out) == bool(code)
    record = json.loads((tmp_path / "encode-minilm.json").read_text(encoding="utf-8"))
    assert record["measured"]["floor"]["rate"]["values"] == [floor, floor]


def test_a_sample_is_scaled_to_the_vocabulary_in_the_encoding_and_in_the_whole_process(monkeypatch):
    """100 of 32,000 tokens took 2 s: all of them take 640 s, and the imports are not scaled."""
    encode = script("encode")
    line = json.dumps({"tokens": 100, "encode_seconds": 2.0, "vocabulary": 32_000})
    moments = iter([100.0, 107.0])
    monkeypatch.setattr(encode, "process", lambda words: f"a library's greeting\n{line}\n")
    monkeypatch.setattr(encode.time, "perf_counter", lambda: next(moments))
    assert encode.peer("article", Path("model"))() == {"whole": 645.0, "encode": 640.0, "rate": 50.0}


def test_the_loss_of_bfloat16_is_its_relative_error_and_the_share_of_nearest_tokens_that_stay(tmp_path):
    encode, rng = script("encode"), np.random.default_rng(3)
    one = rng.standard_normal((50, 8)).astype(np.float32)
    other = (one + 0.3 * rng.standard_normal((50, 8))).astype(np.float32)
    paths = [tmp_path / name for name in ("one.kotovec", "other.kotovec")]
    for path, vectors in zip(paths, (one, other), strict=True):
        stores.write_store(path, stores.numbered(50), one, vectors[np.newaxis])
    errors = np.sqrt(((one - other).astype(np.float64) ** 2).sum(1) / (one.astype(np.float64) ** 2).sum(1))
    overlaps = []
    for row in range(50):
        near = [
            set(np.argsort(((vectors - vectors[row]) ** 2).sum(1))[1 : encode.NEAREST + 1].tolist())
            for vectors in (one, other)
        ]
        overlaps.append(len(near[0] & near[1]) / encode.NEAREST)
    found = encode.loss(*paths)
    assert found == pytest.approx(
        {"median_error": np.median(errors), "largest_error": errors.max(), "overlap": np.mean(overlaps)}
    )
    assert 0 < found["overlap"] < 1
    assert encode.loss(paths[0], paths[0]) == {"median_error": 0.0, "largest_error": 0.0, "overlap": 1.0}


def test_the_floor_multiplies_every_token_position_and_layer_by_all_weights(monkeypatch):
    """2 * 3 positions * layers * (4 D² + 2 D F) operations a token, whatever the batch, a remainder included."""
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(BENCHMARKS / "peers"))
    try:
        floor = script("floor")
    finally:
        sys.path.remove(str(BENCHMARKS / "peers"))
    config = {"hidden_size": 8, "intermediate_size": 20, "num_hidden_layers": 3}
    products, done = floor.Products(config, torch.float32), []
    linear = torch.nn.functional.linear

    def count(inputs, weight):
        done.append(inputs.shape[0] * weight.numel())
        return linear(inputs, weight)

    monkeypatch.setattr(torch.nn.functional, "linear", count)
    products.run(70, 32)
    assert sum(done) == 70 * 3 * 3 * (4 * 8 * 8 + 2 * 8 * 20)


def test_a_peer_that_fails_is_named_with_its_error_and_not_measured(tmp_path):
    turns = script("turns")
    with pytest.raises(SystemExit, match=r"(?s)no such model.*exited with 3"):
        turns.process([sys.executable, "-c", "import sys; print('no such model', file=sys.stderr); sys.exit(3)"])


# memory.py


def test_what_a_further_worker_may_cost_is_torch_plus_half_the_weights():
    memory = script("memory")
    summary = {"tokens": 32_000, "seconds": {"encode": 1.0}}
    empty = memory.Peak(1, 1.0, 2_000_000_000, {}, 700_000_000, summary)
    peaks = {
        1: empty,
        2: dataclasses.replace(empty, workers=2, total=5_900_000_000, crew=1_100_000_000),
        4: dataclasses.replace(empty, workers=4, total=9_000_000_000, crew=2_080_000_000),
    }
    torches = {1: 216_000_000, 4: 700_000_000}
    promises = memory.promised(peaks, torches, 440_000_000, 6.0)
    assert [promise.value for promise in promises] == pytest.approx([5900.0, 400 / 436, 460 / 436])
    assert [promise.holds for promise in promises] == [True, True, False]
    assert [promise.holds for promise in memory.promised({2: peaks[2]}, {}, 440_000_000, 5.0)] == [False]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_proportional_size_of_a_process_counts_what_it_allocated():
    psutil = pytest.importorskip("psutil")
    memory = script("memory")
    before = memory.proportional_bytes(psutil.Process())
    # Fresh pages: an array may take those that an earlier test of this process gave back to its C library alone.
    block = np.frombuffer(mmap.mmap(-1, 64 << 20), dtype=np.uint8)
    block[:] = 1
    after = memory.proportional_bytes(psutil.Process())
    assert 60 << 20 < after - before < 80 << 20
    assert block.nbytes == 64 << 20


# table.py


def test_tables_are_made_from_results_and_say_what_was_not_measured(tmp_path):
    turns, table = script("turns"), script("table")
    measured = {
        "kotovec": {"whole": [30.0], "encode": [20.0], "rate": [1526.1], "merge": [0.2]},
        "model2vec": {"whole": [33.0], "encode": [25.0, 26.0, 29.0], "rate": [1220.9]},
    }
    promise = turns.Promise("encoding, kotovec / model2vec", 1526.1, 1220.9, at_least=1.3, unit="tokens/s")
    turns.write("encode-minilm", measured, [promise], folder=tmp_path, notes=["A note."])
    page = "# Speed\n<!-- results: encode-minilm -->\nstale\n<!-- end -->\n<!-- results: gpu -->\n<!-- end -->\nrest\n"
    made = table.make_page(page, tmp_path)
    assert "| kotovec | 30 | 20 | 1,526 |\n" in made
    assert "| model2vec | 33 | 26 (25.5 … 27.5) | 1,221 |\n" in made
    line = "| encoding, kotovec / model2vec | 1,526 / 1,221 tokens/s | 1.25 | at least 1.3 | **does not hold** |\n"
    assert line in made
    assert "\nA note.\n" in made
    assert "stale" not in made
    assert "merge" not in made
    assert "<!-- results: gpu -->\n\nNot measured yet.\n\n<!-- end -->\nrest\n" in made
    assert table.make_page(made, tmp_path) == made


def test_the_pages_hold_what_the_results_say():
    table = script("table")
    for path in table.PAGES:
        page = path.read_text(encoding="utf-8")
        assert page == table.make_page(page, table.RESULTS), "python benchmarks/table.py"


# seeds.py


def planted(path, truth, seed, *, noise, contexts=4, fewer=0):
    """Write a store of the means of planted vectors: truth and noise, whose deviation is known.

    The first ones have fewer contexts, and 300 are seen in 1,000 sentences.
    """
    random = np.random.default_rng(seed)
    vectors = truth[:, np.newaxis] + noise * random.standard_normal((len(truth), contexts, truth.shape[1]))
    n = np.where(np.arange(len(truth)) < fewer, 1, contexts)
    means = np.where(n[:, np.newaxis] == 1, vectors[:, 0], vectors.mean(axis=1))
    energy = np.where(n == 1, (vectors[:, 0] ** 2).sum(axis=1), (vectors**2).sum(axis=2).mean(axis=1))
    stores.write_store(path, stores.numbered(len(truth)), means)
    made = {"settings": {"contexts": contexts, "seed": seed}, "spread": {"reliability": 0.5}}
    stores.add_means(path, Space("context", 2), means, n, energy=energy, made=made)
    seen = np.where(np.arange(len(truth)) < len(truth) - 300, n, 1000).astype(float)
    sentences, inside = np.zeros(n.sum(), dtype=np.int32), np.zeros(len(truth), dtype=bool)
    sample = Sample(np.arange(1, dtype=np.uint64), offsets_of(n), sentences, inside, seen, contexts, {})
    write_contexts(Layout(path).contexts, sample, "1" * 64, keep_text=False)
    return path


@pytest.mark.parametrize(("noise", "expected"), [(1.0, 0.8), (2.0, 0.5), (0.1, 1 / 1.0025)])
def test_the_correlation_of_two_samples_is_the_reliability_of_planted_means(
    noise, expected, tmp_path, monkeypatch, capsys
):
    """4 contexts, a true variance of 1 in each dimension: the reliability is 1 / (1 + noise² / 4)."""
    seeds = script("seeds")
    truth = np.random.default_rng(9).standard_normal((1500, 16)) + 100  # far from the origin, as hidden states are
    one, other = (
        planted(tmp_path / f"{seed}.kotovec", truth, seed, noise=noise, fewer=100 * (1 + seed)) for seed in (0, 1)
    )
    path = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["seeds.py", str(one), str(other), "--json", str(path)])
    seeds.main()
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["contexts"], found["stated"]) == (4, [0.5, 0.5])
    assert [(row["least"], row["items"]) for row in found["rows"]] == [(0, 1300), (80, 300)]
    for row, chance in zip(found["rows"], (0.02, 0.04), strict=True):
        assert row["found"] == pytest.approx(expected, abs=chance)
        assert row["predicted"] == pytest.approx([expected] * 2, abs=chance)
        assert row["low"] < row["found"] < row["high"] < row["low"] + 0.08
    lines = capsys.readouterr().out.splitlines()
    row = found["rows"][1]
    assert lines[3].startswith("| 4 | 80 or more | 300 | ")
    assert lines[3].endswith(f" | {row['found']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |")
    assert lines[5] == "kotovec info, of all items: 0.500, 0.500"


def test_the_correlation_and_its_bootstrap_are_those_of_numpy():
    seeds, random = script("seeds"), np.random.default_rng(5)
    one = random.standard_normal((300, 8)) + 5
    other = one + random.standard_normal((300, 8))
    pick = random.integers(300, size=300)
    weights = np.stack([np.ones(300), np.bincount(pick, minlength=300)])
    expected = [
        np.corrcoef(*((each[rows] - each[rows].mean(axis=0)).ravel() for each in (one, other)))[0, 1]
        for rows in (np.arange(300), pick)
    ]
    np.testing.assert_allclose(seeds.correlation(one, other, weights), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 0}, "both samples were drawn with the seed 0"),
        ({"seed": 1, "contexts": 5}, "one store has 4 contexts of an item, the other 5"),
        ({"seed": 1, "fewer": 50}, "0 items have all contexts in both stores"),
    ],
)
def test_samples_that_cannot_be_compared_are_refused(options, message, tmp_path):
    seeds, truth = script("seeds"), np.random.default_rng(9).standard_normal((50, 4))
    paths = (
        planted(tmp_path / "0.kotovec", truth, 0, noise=1),
        planted(tmp_path / "1.kotovec", truth, **{"noise": 1} | options),
    )
    with Store.open(paths[0]) as one, Store.open(paths[1]) as other:
        samples = [seeds.read(store, "context@2") for store in (one, other)]
        with pytest.raises(SystemExit, match=message):
            seeds.compare(*samples)
        with pytest.raises(SystemExit, match="a store has no context@1"):
            seeds.read(one, "context@1")


# gpu.py


def test_without_a_cuda_device_gpu_says_so_in_one_line_and_exits_0(monkeypatch, capsys, tmp_path):
    torch, gpu = pytest.importorskip("torch"), script("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--results", str(tmp_path)])
    assert gpu.main() == 0
    assert capsys.readouterr().out == "no CUDA device here (torch sees none): nothing was measured\n"
    assert list(tmp_path.iterdir()) == []


def test_the_breakdown_names_what_torch_spent_its_time_on_and_leaves_nothing_of_the_wall_out():
    torch, gpu = pytest.importorskip("torch"), script("gpu")
    one = torch.randn(512, 512)

    def work():
        for _ in range(50):
            torch.nn.functional.linear(one, one)
        torch.nn.functional.gelu(one)
        torch.nn.functional.layer_norm(one, (512,))

    spent = gpu.breakdown(work, on_gpu=False)
    wall = spent.pop("wall")
    assert max(spent, key=spent.get) == "matrix products"
    assert {"activation", "norms", "waiting"} <= set(spent)
    assert sum(spent.values()) == pytest.approx(wall, abs=0.01)


def test_the_operations_of_a_model_are_counted_full_and_unreduced(tmp_path):
    """2 layers of 64 and 256, 2 * (4 * 64² + 2 * 64 * 256) each, for 32,000 tokens of 3, and sentences."""
    checkpoints, gpu = script("checkpoints"), script("gpu")
    measures, operations = gpu.encoding(checkpoints.find("tiny", tmp_path), "cpu", "float32")
    position = 2 * 2 * (4 * 64**2 + 2 * 64 * 256)
    sentences = gpu.random_sentences(32_000, gpu.FEW_SENTENCES)
    assert operations == {"encoding": 32_000 * 3 * position, "sentences": len(sentences.ids) * position}
    assert all(measure()["seconds"] > 0 for measure in measures.values())


def test_random_sentences_have_the_lengths_of_the_corpus():
    gpu = script("gpu")
    sentences = gpu.random_sentences(32_000, 10_000)
    lengths = np.diff(sentences.offsets)
    assert np.percentile(lengths, range(0, 110, 10)) == pytest.approx(gpu.LENGTHS, abs=1)
    np.testing.assert_array_equal(sentences.wanted, range(0, len(sentences.ids), 4))


def test_the_lines_of_an_install_are_those_of_its_sources():
    before_after = script("before_after")
    found = before_after.lines(Path(sys.executable))
    assert list(found) == ["cluster", "workers", "store", "cli"]
    paths = {name: (ROOT / name).rglob("*.py") for name in found}
    assert found == {
        name: sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) for name, files in paths.items()
    }
    said = "Lines of Python before and after: store/ 1,000 and 2,000."
    assert before_after.size_note({"store": 1000}, {"store": 2000}) == said
