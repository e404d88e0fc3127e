"""How many rounds of each kind of kill: some in CI, `--rounds 20` for a long run."""

from dataclasses import dataclass
from typing import Any

import pytest

from kotovec.cluster.contexts import encode
from kotovec.cluster.plan import Plan, make_plan
from kotovec.cluster.request import Request
from kotovec.store.layout import Layout

from processes import CONTEXTS, MOST_SENTENCES, SHARD
from rays import datasets, plan_of, run_build
from scanned import english, write_lines

# Those of builds without contexts take a minute and a half in CI. `make faults-long` plays twenty of each.
ROUNDS = {"actor": 2, "all actors": 1, "node": 2, "driver": 2, "driver in merge": 1, "driver in index": 1}
ROUNDS |= {"scan": 1, "driver in scan": 2, "node in scan": 1}
ROUNDS |= {"driver in contexts": 1, "actor in contexts": 1, "node in contexts": 1}


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, help="kills of each kind in tests/faults (one or two by default)")


@pytest.fixture
def rounds(request):
    """Return a function that tells how many rounds of a kind are to be played."""
    # No option where pytest was started above this folder, and read its options before it came here.
    return lambda kind: request.config.getoption("--rounds", default=None) or ROUNDS[kind]


@pytest.fixture(scope="session")
def calm(one_ray, tiny_models, tmp_path_factory):
    """Return a plan, and the datasets that an undisturbed build of it ends in."""
    plan, store = plan_of(tiny_models["bert"], layers="all", shard_tokens=SHARD), tmp_path_factory.mktemp("calm") / "x"
    run_build(plan, store)
    return plan, datasets(store)


@pytest.fixture
def command(tiny_models, tmp_path):
    """Return the arguments that build as `calm` was built, without the number of workers; and the store."""
    store = tmp_path / "x.kotovec"
    options = ["--layers", "all", "--shard-tokens", SHARD, "--device", "cpu"]
    return ["build", tiny_models["bert"], "--store", store, *options], store


@dataclass(frozen=True)
class Calm:
    """An undisturbed build of the means over sentences, in small shards.

    Attributes:
        options: those of its request.
        plan: its plan, which knows no shards before the sentences are drawn.
        shards: how many it had.
        datasets: those of the store.
        sample: the bytes of its contexts.h5.
    """

    options: dict[str, Any]
    plan: Plan
    shards: int
    datasets: dict[str, tuple[str, tuple[int, ...], bytes]]
    sample: bytes


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return the path of 2,000 sentences, one a line."""
    return write_lines(tmp_path_factory.mktemp("corpus") / "a.txt", english())


@pytest.fixture(scope="session")
def calm_contexts(corpus, tiny_models, tmp_path_factory):
    """Return a plan of contexts, and what an undisturbed build of it, in this process, ends in."""
    options = {"model": str(tiny_models["bert"]), "spaces": "context", "layers": "all", "device": "cpu"}
    options |= {"corpus": (str(corpus),), "split": "line", "contexts": CONTEXTS, "keep_text": True}
    plan, store = make_plan(Request(**options)), tmp_path_factory.mktemp("calm contexts") / "x"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "MOST_SENTENCES", MOST_SENTENCES)
        _, listener = run_build(plan, store, 0)
    shards = [event.done for event in listener if getattr(event, "unit", "") == "sentence"]
    return Calm(options, plan, len(shards) - 1, datasets(store), Layout(store).contexts.read_bytes())


@pytest.fixture
def context_command(corpus, tiny_models, tmp_path):
    """Return the arguments that build as `calm_contexts` was built, without the number of workers; and the store."""
    store = tmp_path / "x.kotovec"
    options = ["--spaces", "context", "--layers", "all", "--device", "cpu", "--keep-text"]
    sampling = ["--corpus", corpus, "--split", "line", "--contexts", CONTEXTS]
    return ["build", tiny_models["bert"], "--store", store, *options, *sampling], store
