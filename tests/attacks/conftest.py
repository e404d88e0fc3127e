"""What is attacked: models, a store that the attacked kotovec built of one, and copies of it to spoil."""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from attacked import Process, build, wait_for, workers
from tiny import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A model that nothing is wrong with."""
    return write_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory) -> Path:
    """A model of 3,000 tokens, whose build in shards of 16 takes some seconds."""
    return write_model(tmp_path_factory.mktemp("models") / "slow", [f"w{number}" for number in range(3000)])


@pytest.fixture(scope="session")
def built(model, tmp_path_factory) -> Path:
    """The store of the model."""
    store = tmp_path_factory.mktemp("built") / "x.kotovec"
    done = build(model, store)
    assert done.code == 0, done.err
    return store


@pytest.fixture(scope="session")
def other(tmp_path_factory) -> Path:
    """A store of another model."""
    root = tmp_path_factory.mktemp("other")
    done = build(write_model(root / "model", ["other"]), root / "x.kotovec")
    assert done.code == 0, done.err
    return root / "x.kotovec"


@pytest.fixture(scope="session")
def large(slow_model, tmp_path_factory) -> Path:
    """The store of the slow model, built in one go."""
    store = tmp_path_factory.mktemp("large") / "x.kotovec"
    done = build(slow_model, store)
    assert done.code == 0, done.err
    return store


@pytest.fixture(scope="session")
def begun(slow_model, tmp_path_factory) -> Path:
    """What SIGTERM left of a build of the slow model, after some shards."""
    store = tmp_path_factory.mktemp("begun") / "x.kotovec"
    words = ["build", slow_model, "--store", store, "--device", "cpu", "--shard-tokens", 16, *workers()]
    with Process(*words) as process:
        wait_for(lambda: len(list(store.glob("shards/*.h5"))) > 2 or process.popen.poll() is not None)
        process.signal(signal.SIGTERM)
        process.finish()
    assert not (store / "shards" / "000191.h5").exists()
    return store


@pytest.fixture
def store(built, tmp_path) -> Path:
    """A copy of the store."""
    return Path(shutil.copytree(built, tmp_path / "x.kotovec"))


@pytest.fixture
def precious(tmp_path) -> Path:
    """A folder of the user's, with a file that holds `mine`."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".bashrc").write_text("mine")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def public():
    """A folder that everyone can write to, as /tmp is; not in pytest's own, which nobody else can enter."""
    folder = Path(tempfile.mkdtemp(prefix="kotovec-public-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)
