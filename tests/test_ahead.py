"""A private Ray that starts while a build is planned: what is said first, and how much memory it asks for."""

import contextlib
import time

import pytest

from kotovec.cluster import ahead
from kotovec.cluster.ahead import planned
from kotovec.cluster.plan import Request
from kotovec.errors import InputError, WorkerError

from models import make_bert


@pytest.fixture
def sessions(monkeypatch):
    """Return the sessions that were asked for: none is started."""
    asked = []

    @contextlib.contextmanager
    def pretend(address, cpus, store_bytes, folder):
        asked.append((address, cpus, store_bytes))
        yield
        asked.append("ended")

    monkeypatch.setattr(ahead, "session", pretend)
    monkeypatch.setattr(ahead, "import_ray", lambda: None)
    monkeypatch.setattr(ahead, "find_gpus", list)
    return asked


def test_ray_is_held_until_it_is_closed(sessions, tiny_models):
    with planned(Request(model=str(tiny_models["bert"])), 3, with_ray=True) as found:
        assert len(found.plan.tokens) == 397
        assert sessions[0][:2] == (None, 3)
        found.ray.close()
        assert sessions[1:] == ["ended"]
    assert sessions[1:] == ["ended"]
    assert found.seconds.keys() == {"plan", "start"}


def test_the_seconds_are_those_of_the_steps(sessions, monkeypatch, tiny_models):
    """Planning takes 0.2 s and Ray 0.5 s: a summary that gave `plan 0.0, start 0.5` contradicted the steps."""
    made = ahead.make_plan

    def slow(*arguments):
        time.sleep(0.2)
        return made(*arguments)

    @contextlib.contextmanager
    def pretend(*_):
        time.sleep(0.5)
        yield

    monkeypatch.setattr(ahead, "make_plan", slow)
    monkeypatch.setattr(ahead, "session", pretend)
    moments = [time.monotonic()]
    request = Request(model=str(tiny_models["bert"]))
    with planned(request, 1, with_ray=True, on_plan=lambda _: moments.append(time.monotonic())) as found:
        moments.append(time.monotonic())
    begin, plan, up = moments
    assert found.seconds["plan"] >= 0.2
    assert found.seconds["plan"] == pytest.approx(plan - begin, abs=0.1)
    assert found.seconds["start"] == pytest.approx(up - plan, abs=0.1)


@pytest.mark.parametrize("gpus", [[], ["nvidia0"]])
def test_no_ray_where_none_is_wanted_or_the_plan_must_say_how_many_workers(gpus, sessions, monkeypatch, tiny_models):
    monkeypatch.setattr(ahead, "find_gpus", lambda: gpus)
    with planned(Request(model=str(tiny_models["bert"]), device="cpu"), 3, with_ray=bool(gpus)) as found:
        assert len(found.plan.tokens) == 397
        found.ray.close()
    assert sessions == []
    assert found.seconds.keys() == {"plan"}


@pytest.mark.parametrize(
    ("workers", "free", "store"),
    [
        (2, 20 << 30, 256 << 20),  # two shards of 32 MiB in flight a worker, and as many being made
        (16, 2 << 30, 2048 * (1 << 20) // 10),
        (16, 1 << 30, 128 << 20),
        (500, 1 << 40, 8 << 30),
    ],
)
def test_the_object_store_is_as_large_as_the_machine_has_room_for(
    workers, free, store, sessions, monkeypatch, tiny_models
):
    """Ray does not start where it would leave too little memory for anything else."""
    monkeypatch.setattr(ahead.resources, "available_memory", lambda: free)
    with planned(Request(model=str(tiny_models["bert"])), workers, with_ray=True):
        pass
    assert sessions[0] == (None, workers, store)


@pytest.mark.parametrize(
    "changes", [{"model": "no/such/folder"}, {"layers": "99"}, {"layers": "x"}, {"dtype": "int8"}], ids=str
)
def test_what_needs_no_tokenizer_is_refused_before_ray_starts(changes, sessions, tiny_models):
    request = Request(**({"model": str(tiny_models["bert"])} | changes))
    with pytest.raises(InputError), planned(request, 1, with_ray=True):
        pass
    assert sessions == []


def test_an_error_of_the_plan_ends_ray(sessions, tmp_path):
    folder = make_bert(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="tokenizer"), planned(Request(model=str(folder)), 1, with_ray=True):
        pass
    assert sessions[1:] == [] or sessions[1:] == ["ended"]


def test_where_ray_does_not_start_either_the_requests_own_error_is_told(monkeypatch, sessions, tiny_models):
    @contextlib.contextmanager
    def fail(*_):
        raise WorkerError("a local Ray does not start")
        yield

    monkeypatch.setattr(ahead, "session", fail)
    good = Request(model=str(tiny_models["bert"]))
    with pytest.raises(WorkerError, match="does not start"), planned(good, 1, with_ray=True):
        pass
    bad = Request(model=str(tiny_models["bert"]), mecab_dic="ipadic")
    with pytest.raises(InputError, match="MeCab"), planned(bad, 1, with_ray=True):
        pass
