"""Variables of libraries that these cannot read: one line of kotovec's own, and none with `--quiet`."""

import os

import pytest

from kotovec.variables import drop_unreadable

from commands import make_store, start

BAD = {
    "OMP_NUM_THREADS": ["0", "abc", "-1", "2.5", "4,", "4,0", "99999999999999999999"],
    "OMP_THREAD_LIMIT": ["0"],
    "OMP_SCHEDULE": ["fast", "static,x"],
    "OMP_PROC_BIND": ["x"],
    "OMP_STACKSIZE": ["x", "4q"],
    "OMP_DYNAMIC": ["1"],
    "OMP_WAIT_POLICY": ["never"],
    "OMP_PLACES": ["zz"],
    "GOMP_CPU_AFFINITY": ["x"],  # libgomp never returns from it
    "MKL_NUM_THREADS": ["abc", "0"],
    "OPENBLAS_NUM_THREADS": ["abc", "-1"],
    "NUMBA_NUM_THREADS": ["0", "abc"],
    "NUMBA_THREADING_LAYER": ["foo"],
    "RAYON_NUM_THREADS": ["abc", "-1"],
}
GOOD = {
    "OMP_NUM_THREADS": ["1", " 2 ", "4,2", "08"],
    "OMP_SCHEDULE": ["dynamic", "STATIC,4", "nonmonotonic:guided"],
    "OMP_PROC_BIND": ["true", "spread,close"],
    "OMP_STACKSIZE": ["512", "4M", "16 k"],
    "OMP_PLACES": ["cores", "threads(2)", "{0,1},{2}"],
    "GOMP_CPU_AFFINITY": ["0", "0-1", "0 1-3:2"],
    "MKL_NUM_THREADS": ["1"],
    "RAYON_NUM_THREADS": ["0", "2"],
    "TOKENIZERS_PARALLELISM": ["false", "abc", ""],  # any value is read
    "KMP_AFFINITY": ["granularity=fine"],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("variables") / "x.kotovec")


def pairs(values):
    return [(name, value) for name, each in values.items() for value in each]


@pytest.mark.parametrize(("name", "value"), pairs(BAD))
def test_what_no_library_can_read_is_dropped(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert drop_unreadable() == [(name, value)]
    assert name not in os.environ


@pytest.mark.parametrize(("name", "value"), pairs(GOOD))
def test_what_a_library_reads_stays(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert drop_unreadable() == []
    assert os.environ[name] == value


def test_an_empty_value_counts_as_none(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert drop_unreadable() == []
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_NUM_THREADS": "0"},
        {"OMP_NUM_THREADS": "abc", "MKL_NUM_THREADS": "x"},
        {"GOMP_CPU_AFFINITY": "x"},
        {"OMP_SCHEDULE": "x", "OMP_STACKSIZE": "x"},
    ],
)
def test_a_query_says_it_in_one_line_or_not_at_all(store, variables):
    named = ", ".join(f"{name}={value}" for name, value in variables.items())
    loud = start("query", "king", "-k", 1, "--json", "--store", store, environment=variables)
    quiet = start("query", "king", "-k", 1, "--json", "-q", "--store", store, environment=variables)
    plain = start("query", "king", "-k", 1, "--json", "--store", store)
    assert (loud.returncode, loud.stdout) == (quiet.returncode, quiet.stdout) == (plain.returncode, plain.stdout)
    assert loud.stderr == f"note: left out as no library can read it: {named}\n"
    assert (quiet.stderr, plain.stderr) == ("", "")


def test_a_map_is_made_all_the_same(store):
    """Numba raised a ValueError: `Number of threads specified must be > 0.`"""
    odd = {"NUMBA_NUM_THREADS": "0", "OMP_NUM_THREADS": "abc"}
    done = start("map", "--again", "-q", "--neighbors", 4, "--store", store, environment=odd)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_build_is_quiet_about_it(tiny_models, tmp_path):
    built = tmp_path / "x.kotovec"
    options = ("--workers", 0, "-q", "--store", built)
    done = start("build", tiny_models["bert"], *options, environment={"OMP_NUM_THREADS": "0"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
