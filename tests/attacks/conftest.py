"""What is attacked: models, a store that the attacked kotovec built of one, and copies of it to spoil."""

import shutil
import tempfile
from pathlib import Path

import pytest

from attacked import build
from tiny import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A model that nothing is wrong with."""
    return write_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory) -> Path:
    """A model of 6,000 tokens, whose build in shards of 16 takes some seconds."""
    return write_model(tmp_path_factory.mktemp("models") / "slow", [f"w{number}" for number in range(6000)])


@pytest.fixture(scope="session")
def built(model, tmp_path_factory) -> Path:
    """The store of the model."""
    store = tmp_path_factory.mktemp("built") / "x.kotovec"
    done = build(model, store)
    assert done.code == 0, done.err
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
