"""A build's memory does not grow with the vectors: held by a small run of benchmarks/scale.py, which says more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "scale.py"


def measure(*arguments):
    """Run the benchmark; return its exit code and its numbers."""
    command = [sys.executable, str(SCRIPT), "--quick", "--json", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_drivers_memory_beyond_the_token_list_is_flat_as_the_vocabulary_grows():
    """20,000 and 60,000 tokens of 256 dimensions: one array of vectors in memory would be 41 MB more."""
    code, found = measure("--only", "vocabularies")
    small, large = found["vocabularies"]["sizes"]
    arrays = large["array"] - small["array"]
    assert arrays == 40_000 * 256 * 4
    for phase in ("start", "encode", "merge", "index"):
        assert large["beyond"][phase] - small["beyond"][phase] < arrays / 2, phase
    assert code == 0
    # The list itself: its columns (id 8, kind 1, two texts), and transformers' tokenizer with its vocabulary twice.
    tokens = large["tokens"] - small["tokens"]
    assert tokens == 40_000
    assert large["table"] - small["table"] < large["token_list"] - small["token_list"] < 1000 * tokens


def test_a_simulated_worker_is_fed_as_fast_as_it_works():
    """One worker of 100 ms a shard: the driver keeps up, waits most of the time, and all of its time is told."""
    _, found = measure("--only", "simulation", "--actors", "1")
    (run,) = found["simulation"]["runs"]
    assert found["simulation"]["shard_bytes"] == 1024 * 768 * 4
    assert 4 < run["shards_per_second"] <= 10
    wall = {name: milliseconds for name, (milliseconds, _) in run["wall_and_cpu_ms"].items()}
    assert sum(wall.values()) == pytest.approx(1000 / run["shards_per_second"])
    assert max(wall, key=wall.get) == "waiting"
