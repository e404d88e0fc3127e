"""How many rounds of each kind of kill: some in CI, `--rounds 20` for a long run."""

import pytest

from processes import SHARD
from rays import datasets, plan_of, run_build

# Nine in all in CI: a minute and a half. `make faults-long` plays twenty of each.
ROUNDS = {"actor": 2, "all actors": 1, "node": 2, "driver": 2, "driver in merge": 1, "driver in index": 1}
ROUNDS |= {"scan": 1, "driver in scan": 2, "node in scan": 1}


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
