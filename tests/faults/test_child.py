"""The process that a build has to itself: what passes between it and the command, and how each ends with the other."""

import json
import signal
import threading
import time

import psutil
import pytest

from kotovec.cli.build import _tidy
from kotovec.cli.child import can_fork

from commands import without_steps
from processes import Terminal, meet
from rays import SLOW_COMMAND, Process, datasets, left_behind, shard_files, wait_for

TOLD = """
import json
from kotovec.cli.child import Child
from kotovec.cluster.events import Notice, Phase, Progress
from kotovec.errors import DiskFullError

def work(report):
    for event in (Phase("encode"), Progress(1, 2), Notice("\\udcff\\u738b\\nx")):
        report(event)
    return {"n": 3, "path": "\\udcff"}

def full(report):
    raise DiskFullError("no room\\nat all", hint="free some")

def foreign(report):
    raise type("TheirError", (Exception,), {})("theirs\\nwith more")

for task in (work, full, foreign):
    with Child() as child:
        child.start(task)
        try:
            print(json.dumps(child.result(lambda event: print(ascii(event)))))
        except Exception as error:
            code, hint = getattr(error, "exit_code", None), getattr(error, "hint", None)
            print(type(error).__name__, repr(str(error)), code, f"in {task.__name__}" in error.__notes__[-1], hint)
"""


def test_events_a_result_and_errors_pass_to_the_command(tmp_path):
    with Process(cwd=tmp_path, code=TOLD) as process:
        code, out, err = process.finish()
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Phase(name='encode')",
        "Progress(done=1, total=2)",
        r"Notice(text='\udcff\u738b\nx')",
        json.dumps({"n": 3, "path": "\udcff"}),
        r"DiskFullError 'no room\\nat all' 1 True free some",
        "TheirError 'theirs' None True None",
    ]


# Holds Python's lock for hours: no thread of that process would see that the other one has ended.
BUSY = """
from kotovec.cli.child import Child

def work(report):
    print("busy", flush=True)
    sum(range(1 << 50))

with Child() as child:
    child.start(work)
    child.result(print)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM], ids=lambda number: number.name)
def test_the_process_ends_at_once_with_the_command_however_that_ends_and_whatever_it_is_at(number, tmp_path):
    with Process(cwd=tmp_path, code=BUSY) as process:
        assert process.popen.stdout.readline() == "busy\n"
        (child,) = psutil.Process(process.popen.pid).children()
        process.popen.send_signal(number)
        child.wait(30)  # it would take hours by itself
        assert process.left() == []


@pytest.fixture
def slow_build(tiny_models, tmp_path):
    """Return the arguments of a build, and its store: in a folder that is not there yet."""
    store = tmp_path / "new" / "folder" / "x.kotovec"
    return ["build", tiny_models["bert"], "--store", store, "--shard-tokens", 32, "--workers", 1], store


def test_a_build_whose_process_the_kernel_kills_says_so_in_one_line_and_goes_on(slow_build, tmp_path):
    arguments, store = slow_build
    with Process(*arguments, cwd=tmp_path, code=SLOW_COMMAND) as process:
        wait_for(lambda: len(shard_files(store)) >= 2)
        (child,) = psutil.Process(process.popen.pid).children()
        child.kill()
        code, out, err = process.finish()
        assert process.left() == []
        assert process.folders() == []
    assert (code, out) == (1, "")
    assert without_steps(err) == (
        "error: the process that builds was killed by SIGKILL (out of memory?)\n"
        "hint: run the same command again; it resumes\n"
    )
    with Process(*arguments, cwd=tmp_path) as process:
        code, _, err = process.finish()
    assert code == 0, err
    assert without_steps(err).startswith("note: resuming with ")
    assert left_behind(store) == []
    assert datasets(store)


def test_an_interrupt_before_anything_is_whole_leaves_no_folder_and_no_word_of_what_is_kept(slow_build, tmp_path):
    arguments, store = slow_build
    with Terminal(*arguments, cwd=tmp_path, code=SLOW_COMMAND) as process:
        meet(process, lambda: (process.read(), (store / "shards").exists())[1])
        process.type(b"\x03")
        assert process.end()[0] == 130
        assert process.lines()[-1] == "error: interrupted"
        assert not any("completed shards are kept" in line for line in process.lines())
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_deletes_nothing_of_what_is_no_store(tmp_path):
    """It may come before the build has found that out."""
    store = tmp_path / "new" / "x.kotovec"
    store.mkdir(parents=True)
    names = [".kotovec-0123456789abcdef.part", "notes.txt"]
    for name in names:
        (store / name).write_text("mine")
    assert not _tidy(store, [])
    assert sorted(path.name for path in store.iterdir()) == names
    (store / "notes.txt").unlink()
    assert not _tidy(store, [store.parent])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_before_the_plan_is_written_leaves_no_empty_folder(tmp_path):
    store = tmp_path / "new" / "x.kotovec"
    (store / "shards").mkdir(parents=True)
    (store / "shards" / ".kotovec-0123456789abcdef.part").touch()
    assert not _tidy(store, [store.parent])
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_shows_a_sign_of_life_before_anything_heavy_is_imported(slow_build, tmp_path):
    """0.28 s while numpy and h5py came first, 0.11 s with a fork and rich alone; more on a machine under load."""
    arguments, _ = slow_build
    begin = time.monotonic()
    with Terminal(*arguments, cwd=tmp_path) as process:
        wait_for(lambda: "planning" in process.read())
        assert time.monotonic() - begin < 2


HEAVY = "import sys\nfrom kotovec.cli import child\n{}\nprint(child.can_fork())"


@pytest.mark.parametrize(("prepare", "forks"), [("", True), ("import ray", True), ("import torch", False)])
def test_only_a_process_without_threads_is_forked(prepare, forks, tmp_path):
    with Process(cwd=tmp_path, code=HEAVY.format(prepare)) as process:
        assert process.finish() == (0, f"{forks}\n", "")


def test_a_process_with_threads_is_not_forked():
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        done.set()
        thread.join()
