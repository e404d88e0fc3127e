"""A small store of every kind of token and three layers, and where its datasets are."""

import numpy as np
import pytest

import stores

RANDOM = np.random.default_rng(5)
TEXTS = ["[PAD]", "[unused0]", "[UNK]", "王", "##王", "", "king", "man", "woman", "queen", "a\0b"]
LAYERS = (0, 3, 12)
STATIC = RANDOM.standard_normal((11, 5)).astype(np.float32)
ISOLATED = RANDOM.standard_normal((3, 11, 7)).astype(np.float32)
SPACES = {"static": ("float32", 5)} | {f"isolated-{layer}": (None, 7) for layer in LAYERS}
TABLES = [f"tokens/{name}" for name in ("id", "text", "surface", "kind")]
DATASETS = [*TABLES, *(f"{stem}/{name}" for stem in SPACES for name in ("vectors", "norms"))]


def make_layered(folder, dtype="float32", **more):
    """Write the store; return its folder."""
    tokens = stores.make_tokens(TEXTS, ids=[0, 1, 2, 5, 6, 7, 8, 9, 20, 21, 22], special=["[PAD]", "[UNK]"])
    return stores.write_store(folder, tokens, STATIC, ISOLATED, layers=LAYERS, dtype=dtype, **more)


@pytest.fixture(params=["float32", "float16"])
def dtype(request):
    """The dtype of the hidden states."""
    return request.param


@pytest.fixture
def store(tmp_path, dtype):
    """The folder of the store."""
    return make_layered(tmp_path / "a.kotovec", dtype)


def path_of(store, stem):
    """Return the path of `tokens.h5`, or of a space's file."""
    return store / "tokens.h5" if stem == "tokens" else store / "spaces" / f"{stem}.h5"
