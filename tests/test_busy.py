"""A store that another process is building: refused before a model is read, Ray starts or anything is computed."""

import pytest

from kotovec.cluster import ahead
from kotovec.cluster.request import Request
from kotovec.cluster.run import dry_run, run
from kotovec.cluster.where import Resources
from kotovec.errors import StoreBusyError
from kotovec.store import cartography, index, projection
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import call, make_store

BUSY = "is being built by another process\nhint: wait for it, or stop it\n"


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.kotovec")


def never(*_arguments, **_options):
    raise AssertionError("it was begun")


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_build_does_not_begin(tiny_models, monkeypatch, tmp_path, exists, workers, overwrite):
    """Ray was started, which took seconds, before the lock was tried."""
    path = make_store(tmp_path / "x.kotovec") if exists else tmp_path / "new" / "x.kotovec"
    monkeypatch.setattr(ahead, "planned", never)
    request = Request(model=str(tiny_models["bert"]), device="cpu", layers="1")
    with locked(Layout(path)), pytest.raises(StoreBusyError, match="is being built by another process"):
        run(request, path, Resources(workers=workers), overwrite=overwrite)
    with pytest.raises(AssertionError, match="it was begun"):  # once it is free
        run(request, path, Resources(workers=workers), overwrite=overwrite)
    assert path.exists() == path.parent.exists() == exists  # no folder and no lock is left of the check
    assert not Layout(path).lock.exists()


def test_a_dry_run_needs_no_lock(tiny_models, tmp_path):
    path = tmp_path / "x.kotovec"
    with locked(Layout(path)):
        ((plan, _),) = dry_run(Request(model=str(tiny_models["bert"]), device="cpu"), path, Resources(workers=0))
    assert len(plan.tokens) > 0


def test_an_index_and_a_kept_map_do_not_begin(capsys, monkeypatch, store):
    monkeypatch.setattr(index, "build", never)
    monkeypatch.setattr(projection, "known_neighbours", never)
    monkeypatch.setattr(cartography, "_project", never)
    with locked(Layout(store)):
        for command in (["index"], ["map", "--method", "pca"]):
            answer = call(capsys, *command, "--store", store)
            assert (answer.code, answer.out) == (1, "")
            assert answer.err.endswith(f"{store} {BUSY}")
