"""SIGTERM, Ctrl-C, forks and swapped stores: no partial file stays, no good file goes, and nothing waits for ever."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from kotovec.errors import DiskFullError, StoreError
from kotovec.space import Space
from kotovec.store import Store, cartography, index_record, maps
from kotovec.store import index as indexes
from kotovec.store.cartography import MapRequest, make_map
from kotovec.store.measure import build_index
from kotovec.store.metric import Metric

import stores
from commands import MAIN, PEAK_KB, environment, make_store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "x.kotovec")


def files(store):
    """Return all files beside and in a store, with what they hold."""
    return {path: path.read_bytes() for path in store.parent.rglob("*") if path.is_file()}


def ended_by(number, command, tmp_path, *, prepare, later=0.0):
    """Run a command until it says that it is there, send a signal; return exit code, stderr, and the seconds."""
    code = f"import sys, time\nsay = lambda *_: print('there', flush=True)\n{prepare}\n{MAIN}"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "there\n", process.stderr.read()
        time.sleep(later)
        begin = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - begin


WRITING = """
from kotovec.store import {module} as module
def wait(*arguments, real=module.{name}):
    found = real(*arguments)
    say()
    time.sleep(60)
    return found
module.{name} = wait
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    ("command", "module", "name"),
    [(["index", "--factory", "Flat"], "index", "blocks"), (["map", "--method", "pca"], "maps", "asdict")],
)
def test_an_interrupted_command_leaves_what_was_there_and_nothing_else(
    store, tmp_path, command, module, name, number, code
):
    make_map(Store.open(store), MapRequest(method="pca", sample=12))
    before = files(store)
    prepare = WRITING.format(module=module, name=name)
    found, err, seconds = ended_by(number, [*command, "--store", store], tmp_path, prepare=prepare)
    assert (found, err) == (code, "error: interrupted\n")
    assert seconds < 10
    assert files(store) == before


DEAF = """
from kotovec.store import projection as module
def deaf(vectors, *_):
    say()
    sum(range(10**12))  # in C and with the interpreter's lock, as numba's loops
module.by_umap = deaf
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_library_that_hears_no_signal_is_ended_and_nothing_stays(store, tmp_path, number, code):
    before = files(store)
    found, err, seconds = ended_by(number, ["map", "--store", store], tmp_path, prepare=DEAF, later=0.5)
    assert (found, err) == (code, "error: interrupted\n")
    assert 1 < seconds < 5
    assert files(store) == before


def test_a_second_interrupt_ends_a_map_at_once_and_its_end_ends_the_computation(store, tmp_path):
    code = f"import sys, os\nsay = lambda *_: print(os.getpid(), flush=True)\n{DEAF}\n{MAIN}"
    command = [sys.executable, "-c", code, "map", "--store", store]
    for killed in (False, True):
        with subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True) as process:
            child = int(process.stdout.readline())
            begin = time.monotonic()
            if killed:
                process.kill()
            else:
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == (-signal.SIGKILL if killed else 130)
        while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
            assert time.monotonic() - begin < 1.5


def test_an_interrupt_while_the_command_line_is_imported_is_one_line(tmp_path):
    """It was a traceback of typer's modules in half of all attempts with a query of 0.3 s."""
    (tmp_path / "typer.py").write_text("import time\nprint('there', flush=True)\ntime.sleep(60)\n")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        prepare = f"sys.path.insert(0, {str(tmp_path)!r})"
        assert ended_by(number, ["query", "king"], tmp_path, prepare=prepare)[:2] == (code, "error: interrupted\n")


def test_a_full_disk_leaves_the_last_index(store, monkeypatch):
    opened, before = Store.open(store), files(store)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    for module, name in ((indexes, "blocks"), (index_record.json, "dumps")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full if name == "blocks" else lambda *_, **__: next(full()))
            with pytest.raises(DiskFullError):
                build_index(opened)
        assert files(store) == before
    assert opened.search("king", k=1).hits[0].token == "king"


KILLED = """
import os, signal, sys
from kotovec.store import Store
from kotovec.store.measure import build_index
from kotovec.store.metric import Metric
left = int(sys.argv[2])
def count(real):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call
store = Store.open(sys.argv[1])
for name in ("open", "fsync", "replace", "unlink", "close"):
    setattr(os, name, count(getattr(os, name)))
build_index(store, factory="IVF2,Flat", parameters="nprobe=2")
"""


def test_a_build_killed_at_any_moment_leaves_one_complete_index(store):
    """The record was deleted before the new index took its place: after a kill there was none."""
    build_index(Store.open(store))
    pristine = shutil.copytree(store, store.with_name("pristine"))
    found = []
    for calls in range(1000):
        shutil.rmtree(store)
        shutil.copytree(pristine, store)
        code = subprocess.run([sys.executable, "-c", KILLED, store, str(calls)], check=False, timeout=60).returncode
        opened = Store.open(store)
        _, record = indexes.load(opened.vectors, store / "indexes", Space("static"), Metric.L2)
        (described,) = (each for each in opened.info()["indexes"] if each["name"] == "static.l2")
        assert opened.verify() == []
        assert (described["factory"], described["usable"]) == (record.factory, True)
        found.append(record.factory)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert len(found) > 15
    assert found == sorted(found)  # first Flat, then IVF2,Flat
    assert set(found) == {"Flat", "IVF2,Flat"}
    assert found.count("IVF2,Flat") > 1  # also where the process was killed before it wrote the last record
    build_index(opened)
    assert "last" not in (store / "indexes" / "static.l2.json").read_text()
    assert [path.name for path in (store / "indexes").iterdir() if path.name.startswith(".")] == []


def swap(store):
    """Put another store in the place of one, as a build with --overwrite does."""
    store.rename(store.with_name("old"))
    tokens = stores.make_tokens([f"word{number}" for number in range(30)])
    stores.write_store(store, tokens, np.eye(30, dtype=np.float32))
    (store / "maps").mkdir(exist_ok=True)


def swapped(store, real, *arguments):
    """Do something, once the store was swapped."""
    if not store.with_name("old").exists():
        swap(store)
    return real(*arguments)


@pytest.mark.parametrize("make", [build_index, lambda store: make_map(store, MapRequest(method="pca"))])
@pytest.mark.parametrize("late", [False, True], ids=["before it is written", "while it is written"])
def test_nothing_is_written_into_a_store_that_took_the_place_of_the_one_that_was_read(store, monkeypatch, make, late):
    opened = Store.open(store)
    if late:
        for module, name in ((indexes, "blocks"), (maps, "asdict")):
            monkeypatch.setattr(module, name, partial(swapped, store, getattr(module, name)))
    else:
        swap(store)
    with pytest.raises(StoreError, match=r"x\.kotovec was replaced meanwhile, and nothing is written into it"):
        make(opened)
    assert not list((store / "maps").iterdir())
    assert Store.open(store).verify() == []
    assert not [path for path in store.parent.rglob("*") if path.name.endswith((".part", ".lock"))]
    assert cartography.find_map(Store.open(store), MapRequest(method="pca")) is None


FORK = """
import multiprocessing, os, signal, sys
from kotovec.store import Store

store = Store.open(sys.argv[1])
few, many = ["king - man + woman", "queen"], ["king"] * 9

def ask(_=None):
    answers = [*store.search_many(few, k=3), *store.search_many(many, k=3)]
    return [hit.token for answer in answers for hit in answer.hits]

expected = ask()
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(ask() != expected)
assert os.waitpid(child, 0)[1] == 0, "a forked process found something else, or nothing"
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(ask, range(4)).get(60) == [expected] * 4
assert ask() == expected
print("all")
"""


def test_a_store_can_be_searched_in_forked_processes(store, tmp_path):
    """As by multiprocessing and web servers; libgomp's threads are not forked."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, store],
        cwd=tmp_path,
        env=environment(OMP_NUM_THREADS="2"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("all\n", 0), done.stderr


FORK_WHILE_SEARCHING = """
import os, signal, sys, threading
from kotovec.panics import panics_as
from kotovec.store import Store
store = Store.open(sys.argv[1])
store.search("kings")
held, done = threading.Event(), threading.Event()
def hold():
    with store._lock, store.lookup._lock, store.vectors._lock:
        held.set()
        done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
ended = threading.Event()
def speak():
    with panics_as(ValueError):
        ended.wait(0.5)
other = threading.Thread(target=speak)
other.start()
child = os.fork()  # once stderr is there again
if not child:
    signal.alarm(30)
    store.search("kings")
    os.write(2, b"heard")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "a forked process waited for a thread that it lacks"
done.set()
"""


def test_a_process_forked_while_other_threads_search_waits_for_none(store, tmp_path):
    """4 of 14 forks hung while two threads split words."""
    command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_SEARCHING, store]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "heard"), done.stderr


BUSY = """
import hashlib
from kotovec.store import tokenizer
def load(*_):
    say()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)  # a minute or two of C, as a tokenizer of 75 MB takes 17 s
tokenizer.load_tokenizer = load
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["query", "kingman"], ["norms", "kingman"]])
def test_a_signal_ends_a_query_while_a_large_tokenizer_is_read(store, tmp_path, command, number):
    found, _, seconds = ended_by(number, [*command, "--store", store], tmp_path, prepare=BUSY)
    assert found == -number  # a shell reports 130 or 143
    assert seconds < 5


SLOW = """
from kotovec.store.database import Store
def search(*_, **__):
    say()
    time.sleep(60)
Store.search = search
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_an_answer_is_computed_is_one_line(store, tmp_path, number, code):
    """It ended the query without a word."""
    found, err, seconds = ended_by(number, ["query", "king", "--store", store], tmp_path, prepare=SLOW)
    assert (found, err) == (code, "error: interrupted\n")
    assert seconds < 5


READING = """
import hashlib, pathlib
from kotovec.workers import tokenizer
def load(*_):
    pathlib.Path("there").touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000_000)
tokenizer.load_tokenizer = load
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_build_while_a_large_tokenizer_is_read(tiny_models, tmp_path, number, code):
    """It took 33 s with a tokenizer.json of 68 MB."""
    command = [sys.executable, "-c", READING + MAIN, "build", tiny_models["bert"], "--workers", "0"]
    with subprocess.Popen(command, env=environment(), cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        while not (tmp_path / "there").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        begin = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert time.monotonic() - begin < 5
    assert (process.returncode, out) == (code, "")
    assert err.endswith("error: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_answers_to_a_stream_come_before_its_end_and_hold_a_bounded_number_of_tokens(tmp_path):
    """All lines of a file were read first, and 4,096 answers of any size were held."""
    tokens = stores.numbered(3000)
    store = stores.write_store(tmp_path / "x.kotovec", tokens, np.random.default_rng(0).standard_normal((3000, 4)))
    word = tokens.surfaces[7]
    code = f"""{MAIN.replace("main()", "code = 0")}
import sys
try:
    main()
finally:
    print({PEAK_KB} >> 10, file=sys.stderr)
"""
    command = [sys.executable, "-c", code, "query", "--store", store, "--file", "-", "-k", "3000"]
    peaks = []
    for lines in (1, 150):
        with subprocess.Popen(command, env=environment(), stdin=-1, stdout=-1, stderr=-1, text=True) as process:
            process.stdin.write(f"{word}\n" * lines)
            process.stdin.flush()
            if lines > 1:
                assert word in process.stdout.readline()  # stdin is still open
            with contextlib.suppress(BrokenPipeError):
                out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert out.count("\n") == lines - (lines > 1)
        peaks.append(int(err))
    assert peaks[1] - peaks[0] < 100  # MB; 450,000 answered tokens take 300


def test_a_line_without_an_end_is_one_error(store, tmp_path):
    path = tmp_path / "long"
    path.write_text("king\n" + "x" * (3 << 20), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "query", "--store", store, "--file", path],
        env=environment(),
        capture_output=True,
        text=True,
    )
    problem = f"line 2 of {path} has more than 1,048,576 characters"
    assert (done.returncode, done.stderr) == (2, f"error: {problem}\nhint: give one expression per line\n")


def test_a_deleted_working_directory_is_one_line(store, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    shutil.copytree(store, gone / "x.kotovec")
    code = f"import os, shutil; shutil.rmtree({str(gone)!r}); {MAIN}"
    for command, out in ((["query", "king", "--tsv"], "king"), (["map", "--method", "pca", "--png", "x.png"], "")):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--store", store],
            cwd=gone,
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert out in done.stdout
        assert (done.returncode == 0) == bool(out)
        assert (done.stderr == "") == bool(out), done.stderr
        assert out or done.stderr.startswith("error: the working directory was deleted\n")
        gone.mkdir()


STOPPED = """
import os, sys, time
from kotovec.cli.interrupts import in_child

def work():
    for tick in range(200):
        print(tick, os.getpid(), flush=True)
        time.sleep(0.05)
    return 7

sys.exit(in_child(work))
"""


def test_ctrl_z_stops_a_map_and_fg_continues_it():
    """Its process is in a session of its own, where the terminal's Ctrl-Z does not arrive."""
    # In a group of its own whose parent is in another of the session: an orphaned group cannot be stopped.
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True, process_group=0
    ) as parent:
        try:
            child = psutil.Process(int(parent.stdout.readline().split()[1]))
            parent.send_signal(signal.SIGTSTP)
            both = (child, psutil.Process(parent.pid))
            end = time.monotonic() + 10
            while any(each.status() != psutil.STATUS_STOPPED for each in both) and time.monotonic() < end:
                time.sleep(0.02)
            assert [each.status() for each in both] == [psutil.STATUS_STOPPED] * 2
            parent.send_signal(signal.SIGCONT)
            assert len(parent.stdout.read().splitlines()) == 199
            assert parent.wait(10) == 7
        finally:
            parent.kill()
