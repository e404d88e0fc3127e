"""Private Rays and their end: nothing in the home, no process, no folder, whoever ends the build and how."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from kotovec.cluster import private
from kotovec.cluster import session as sessions
from kotovec.errors import InputError, StoreBusyError
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

from commands import environment, without_steps
from rays import CHECKOUT, SLOW_COMMAND, Process, left_behind, shard_files, wait_for


@pytest.fixture
def arguments(tiny_models, tmp_path):
    store = tmp_path / "x.kotovec"
    options = ["--shard-tokens", "32", "--workers", "1", "--device", "cpu"]
    return ["build", tiny_models["bert"], "--store", store, *options], store


def test_a_build_in_the_checkout_leaves_nothing_but_the_store(arguments, tmp_path):
    """Ray puts the working directory in front of its workers' sys.path: there, `kotovec` is a folder of four."""
    command, store = arguments
    home = tmp_path / "home"
    home.mkdir()
    with Process(*command, cwd=CHECKOUT or tmp_path, home=home) as process:
        sessions_seen = wait_for(process.folders)
        code, out, err = process.finish()
        assert process.left() == []
    assert code == 0, err
    assert "next" in out
    assert list(home.iterdir()) == []
    assert len(sessions_seen) == 1
    assert process.folders() == []
    assert sorted(path.name for path in store.iterdir()) == ["indexes", "spaces", "tokenizer", "tokens.h5"]
    assert left_behind(store) == []


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_private_ray_that_dies_ends_the_build_in_one_line_and_the_same_command_goes_on(name, arguments, tmp_path):
    """As when the kernel kills it for want of memory; Ray itself would print paragraphs about it on stdout."""
    command, store = arguments
    with Process(*command, cwd=tmp_path, code=SLOW_COMMAND) as process:
        wait_for(lambda: len(shard_files(store)) >= 2)
        assert len(process.named("ray::")) >= 3  # a worker, and two agents that hang for a minute without the server
        next(each for each in process.all() if each.name() == name).kill()
        begin = time.monotonic()
        code, out, err = process.finish(120)
        seconds = time.monotonic() - begin
        assert process.left() == []
    assert (code, out) == (1, "")
    assert (
        without_steps(err)
        == f"error: Ray's {name} died (out of memory?)\nhint: run the same command again; it resumes\n"
    )
    assert seconds < 60
    assert process.folders() == []
    kept = len(shard_files(store))
    assert kept >= 2
    with Process(*command, "--json", cwd=tmp_path) as process:
        code, out, err = process.finish()
    assert code == 0, err
    assert f"resuming with {kept} of" in err
    assert left_behind(store) == []


FAR = """
import os, time
for _ in range(20):
    os.mkdir("f" * 250)
    os.chdir("f" * 250)
print("there", flush=True)
time.sleep(60)
"""


def test_what_is_left_of_a_ray_is_ended_and_no_reader_of_its_logs(tmp_path):
    """Where the temporary folder is a link, as on macOS, processes work in what it leads to.

    A path too long for the kernel to tell, of anybody's process, is no hindrance.
    """
    (tmp_path / "real").mkdir()
    folder = tmp_path / "link"
    folder.symlink_to(tmp_path / "real")
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(folder)]
    (tmp_path / "far").mkdir()
    with (
        subprocess.Popen([sys.executable, "-c", FAR], cwd=tmp_path / "far", stdout=subprocess.PIPE) as far,
        subprocess.Popen(command, cwd=folder) as agent,
        subprocess.Popen(command, cwd=tmp_path) as reader,
    ):
        assert far.stdout.readline() == b"there\n"
        private._end_processes(folder)
        ended = [process.poll() is not None for process in (agent, reader, far)]
        for process in (agent, reader, far):
            process.kill()
    shutil.rmtree(tmp_path / "far")
    assert ended == [True, False, False]


TWICE = """
import os
import ray  # before the session: Ray reads its authentication mode when it is imported
from kotovec.cluster.session import session

for _ in range(2):
    with session(None, 1, 100 << 20):
        print(ray.get(ray.remote(lambda: 6 * 7).remote()))
    print(ray.is_initialized(), [name for name in os.environ if name.startswith('RAY_A')])
"""


def test_a_process_can_hold_one_private_ray_after_another(tmp_path):
    """Each has its own token; Ray caches the first."""
    with Process(cwd=tmp_path, code=TWICE) as process:
        code, out, err = process.finish()
        assert process.left() == []
    assert code == 0, err
    assert out.split() == ["42", "False", "[]"] * 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://localhost:1", "[::1]:1", "nowhere.invalid:6379"])
def test_an_address_where_no_cluster_answers_is_told_at_once(address, monkeypatch):
    monkeypatch.setattr(sessions, "_running", lambda: False)
    begin = time.monotonic()
    with pytest.raises(InputError, match="no Ray cluster answers at") as caught, sessions.session(address, 1, 0):
        pass
    assert time.monotonic() - begin < 20
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("length", "used"), [(11, True), (12, False), (60, False)])
def test_a_sessions_folder_is_short_enough_for_rays_sockets(length, used, monkeypatch):
    """A Unix socket's path ends at 107 bytes, and Ray hangs up to 67 on the folder."""
    root = Path("/tmp") / ("t" * (length - 5))  # noqa: S108 — the length is the point
    root.mkdir(exist_ok=True)
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(root))
        monkeypatch.setattr(os, "getpid", lambda: 4194303)  # the largest there is
        monkeypatch.setattr(private, "_end_processes", lambda _: None)
        with private.temporary_folder() as folder:
            assert folder.is_dir()
            assert (folder.parent == root) is used
            assert len(str(folder)) + 67 <= 107
        assert not folder.exists()
    finally:
        root.rmdir()


HOLD_FOLDER = """
import sys, tempfile
from kotovec.cluster import private
tempfile.tempdir, private._LONGEST = sys.argv[1], 99
with private.temporary_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_folders_of_killed_builds_are_deleted_and_those_of_living_ones_kept(tmp_path, monkeypatch):
    """A lock tells whether one lives: in another container that shares the folder, its process id is nobody's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(private, "_LONGEST", 999)
    other = tmp_path / "kotovec-ray-notes"
    other.mkdir()
    (link := tmp_path / "kotovec-ray-1-link").symlink_to(other)  # somebody's, to have what works there killed
    ended = []
    monkeypatch.setattr(private, "_end_processes", ended.append)
    start = partial(Process, tmp_path, cwd=tmp_path, code=HOLD_FOLDER, stdin=subprocess.PIPE)
    with start() as killed, start() as alive:
        dead, living = (Path(process.popen.stdout.readline().strip()) for process in (killed, alive))
        (dead / "session").mkdir()
        killed.popen.kill()
        killed.popen.wait()
        nobody = living.rename(living.with_name(f"kotovec-ray-{killed.popen.pid}-y"))
        assert dead.is_dir()
        with private.temporary_folder() as folder:
            assert sorted(path for path in tmp_path.iterdir() if path.is_dir()) == sorted([nobody, other, link, folder])
        assert ended == [dead, folder]


HOLD = """
import sys, time
from pathlib import Path
from kotovec.store.layout import Layout
from kotovec.store.lock import locked

with locked(Layout(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_of_two_builds_is_refused_at_once_and_a_killed_one_is_no_hindrance(arguments, tmp_path):
    command, store = arguments
    with Process(store, cwd=tmp_path, code=HOLD) as holder:
        assert holder.popen.stdout.readline() == "held\n"
        with Process(*command, cwd=tmp_path) as second:
            code, _, err = second.finish()
        assert code == 1
        assert err == f"error: {store} is being built by another process\nhint: wait for it, or stop it\n"
        assert not store.exists()
        begin = time.monotonic()
        with pytest.raises(StoreBusyError), locked(Layout(store)):
            pass
        assert time.monotonic() - begin < 1
        holder.popen.send_signal(signal.SIGKILL)
        holder.popen.wait()
    with locked(Layout(store)):
        pass
    assert list(tmp_path.glob(".*.lock")) == []


def test_workers_run_no_python_file_of_the_working_directory(tiny_models, tmp_path):
    """A `safetensors.py` beside the weights of a downloaded model would be code run by loading them."""
    model = tmp_path / "model"
    shutil.copytree(tiny_models["bert"], model)
    (model / "safetensors.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    script = tmp_path / "bin" / "kotovec"
    script.parent.mkdir()
    script.write_text("from kotovec.cli.app import main\nmain()\n")
    # Started as a console script is, so that the working directory is not on this process' own path.
    variables = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    command = [sys.executable, script, "build", ".", "--workers", "1"]
    done = subprocess.run(command, cwd=model, env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (model / "model.kotovec" / "tokens.h5").is_file()
    assert not (tmp_path / "ran").exists()
