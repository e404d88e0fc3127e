"""Section 5: settings that change the last bits of a model's vectors, between two runs of a build."""

import shutil

import h5py
import numpy as np
import pytest

from attacked import build, together

VARIABLES = ["MKL_CBWR=COMPATIBLE", "DNNL_MAX_CPU_ISA=SSE41", "MKL_ENABLE_INSTRUCTIONS=SSE4_2"]


@pytest.fixture(scope="module")
def resumed(slow_model, begun, tmp_path_factory):
    """Copies of a begun build, each resumed with one of the variables; and how that ended."""
    root = tmp_path_factory.mktemp("resumed")

    def resume(variable):
        store = root / variable / "x.kotovec"
        shutil.copytree(begun, store)
        name, _, value = variable.partition("=")
        return store, build(slow_model, store, "--shard-tokens", 16, **{name: value})

    return together({variable: lambda variable=variable: resume(variable) for variable in VARIABLES})


def isolated(store) -> np.ndarray:
    """Return the hidden states of a store's last layer, in either format."""
    path = store / "spaces" / "isolated-2.h5"
    with h5py.File(path if path.exists() else store / "vectors.h5") as file:
        return file["vectors"][()] if path.exists() else file["vectors/isolated"][0]


@pytest.mark.parametrize(
    "variable",
    [
        VARIABLES[0],
        VARIABLES[1],
        pytest.param(VARIABLES[2], marks=pytest.mark.held("changes nothing on processors of AMD")),
    ],
)
def test_a_resumed_build_mixes_no_rows_of_other_bits(resumed, large, variable):
    """The recorded instruction set is ATen's alone: `MKL_CBWR`, `MKL_ENABLE_INSTRUCTIONS`, `DNNL_MAX_CPU_ISA` change
    bytes untold, and a resumed build mixed 22,842 of 30,522 rows silently. Record what decides the products …, refuse
    to go on with another.
    """
    store, done = resumed[variable]
    if done.code == 0:
        rows = (isolated(store) != isolated(large)).any(axis=1)
        assert not rows.any(), f"{rows.sum():,} of {len(rows):,} rows are others"
    else:
        assert done.one_line, done.err
        assert "computes other bits" in done.err
