"""Nothing that other users of the machine can write to is imported, loaded or deleted."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kotovec.cluster import private
from kotovec.cluster import session as sessions
from kotovec.cluster.submit import Jobs
from kotovec.errors import InputError
from kotovec.ownership import changeable, is_private, is_public
from kotovec.workers import checkpoint as checkpoints

from commands import environment
from rays import plan_of
from test_address import start_head
from test_delivery import elsewhere

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
second_user = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv, to be a second user"
)
# A private Ray, or the cluster at an address: where one of its workers starts, and what it imports from.
LOOK = """
import json, sys
from kotovec.cluster.session import join, session

with join(sys.argv[1]) if sys.argv[1:] else session(None, 1, 100 << 20):
    import ray

    def look():
        import os, sys
        from kotovec.cluster.actor import actor_class
        class Nothing:
            def __init__(self, spec):
                self.spec = spec
        before = list(sys.path)
        actor_class(Nothing)(None)
        return before, list(sys.path), os.getcwd()

    print(json.dumps(ray.get(ray.remote(look).remote())), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def public():
    """A folder that everyone can write to, as /tmp is; not in pytest's own, which nobody else can enter."""
    folder = Path(tempfile.mkdtemp(prefix="kotovec-public-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def trap(folder, *names):
    """Plant modules that leave a trace when they are imported; return it."""
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(7)\n")
    return folder / "ran"


def writable_by_others(path):
    """Tell whether others can write to a path or exchange one of the folders it is in, by the modes alone."""
    path = Path(os.path.realpath(path))
    if not path.exists():
        path = path.parent  # a module could be planted only where that can be written to
    if path.stat().st_mode & 0o002:
        return True
    return any(parent.stat().st_mode & 0o002 and not parent.stat().st_mode & stat.S_ISVTX for parent in path.parents)


def look(public, *address, prepare=""):
    """Start a private Ray, or join one, from a folder of everyone's; return the process."""
    variables = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    variables["PYTHONPATH"] = f":{public}:.:{variables.get('PYTHONPATH', '')}"
    script = public / "look.py"
    script.write_text(prepare + LOOK)
    command = [sys.executable, script, *address]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=public, env=variables, text=True, **streams)


def test_workers_start_and_import_where_nobody_else_can_write(public):
    """Begun in a folder of everyone's, by a script there, with that folder and empty entries in PYTHONPATH."""
    with look(public) as process:
        line = process.stdout.readline()
        before, after, cwd = json.loads(line or '[[], [], "/"]')
        open_to_all = [entry for entry in [*before, cwd] if writable_by_others(entry)]
        _, err = process.communicate("")
    assert line, err
    assert open_to_all == []
    assert before == after
    assert len(before) > 4
    assert all(os.path.isabs(entry) for entry in before)
    assert not any(entry.startswith(str(public)) for entry in before)


@second_user
def test_a_second_user_plants_nothing_where_workers_import_from(public):
    """Ray gives everyone every right on its own folders: a `torch.py` there ran as whoever built."""
    plant = 'for folder; do (echo x > "$folder/torch.py") 2> /dev/null && echo "$folder"; done; true'
    with look(public) as process:
        line = process.stdout.readline()
        assert line, process.communicate("")
        before, _, cwd = json.loads(line)
        (session,) = Path("/tmp").glob(f"kotovec-ray-{process.pid}-*")  # noqa: S108
        folders = [str(session), *map(str, (path for path in session.rglob("*") if path.is_dir())), cwd, *before]
        opened = [folder for folder in folders if Path(folder).is_dir() and Path(folder).stat().st_mode & 0o002]
        planted = subprocess.run([*AS_NOBODY, "sh", "-c", plant, "plant", *folders], capture_output=True, text=True)
        there = subprocess.run([*AS_NOBODY, "ls", session], capture_output=True)
        empty = list(Path(cwd).iterdir())
        process.stdin.close()
        code = process.wait()
    assert len(opened) >= 5  # the attack had what it goes for
    assert planted.stdout == ""
    assert there.returncode != 0
    assert empty == []
    assert code == 0
    assert not session.exists()


@pytest.mark.parametrize("flags", [("-m", "kotovec.cli"), ("-c", "from kotovec.cli.app import main; main()")])
@pytest.mark.parametrize("path", ["", ":", "."])
def test_the_command_imports_nothing_from_a_working_directory_of_everyones(flags, path, public):
    """`python -m` and `-c` put it on the path, and so does an empty entry of PYTHONPATH."""
    ran = trap(public, "typer", "rich", "json", "h5py", "numpy", "numbers", "gc")
    variables = environment()
    variables["PYTHONPATH"] = path + variables.get("PYTHONPATH", "")
    command = [sys.executable, *flags, "info", "--store", "nothing.kotovec"]
    done = subprocess.run(command, cwd=public, env=variables, capture_output=True, text=True)
    assert not ran.exists(), ran.read_text()
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_in_a_folder_of_ones_own_the_command_leaves_the_path_as_it_is(tmp_path):
    code = "import sys; before = list(sys.path); import kotovec.cli; assert before == sys.path and '' in before"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=True)


def test_a_cluster_joined_from_a_folder_of_everyones_gets_neither_it_nor_the_scripts(public):
    with start_head() as (joining, _, addresses), look(public, addresses["HOST:PORT"], prepare=joining) as process:
        line = process.stdout.readline()
        before, after, _ = json.loads(line or "[[], [], 0]")
        open_to_all = [entry for entry in after if writable_by_others(entry)]
        _, err = process.communicate("")
    assert line, err
    assert not any(entry.startswith(str(public)) for entry in before)
    assert open_to_all == []


def test_paths_of_rays_settings_hold_where_it_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_TLS_CA_CERT", "ca.pem")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert sessions._absolute_paths() == {"RAY_TLS_CA_CERT": str(tmp_path / "ca.pem")}


@pytest.mark.parametrize(
    ("mode", "below", "expected"),
    [
        (0o755, 0o755, (False, False)),
        (0o777, 0o755, (True, True)),  # whoever may write there exchanges what lies in it
        (0o1777, 0o755, (False, False)),
        (0o1777, 0o777, (True, True)),
        (0o755, 0o1777, (False, True)),
        (0o775, 0o755, (True, False)),  # a group's, as Debian's /usr/local/lib is
    ],
)
def test_who_can_write_to_a_folder(mode, below, expected, tmp_path):
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    folder.chmod(below)
    folder.parent.chmod(mode)
    assert (changeable(folder) is not None, is_public(str(folder))) == expected
    assert not is_private(folder)
    folder.chmod(0o700)
    assert is_private(folder) is (mode in (0o755, 0o1777))
    (link := tmp_path / "link").symlink_to(folder)
    assert not is_private(link)


def test_a_folder_that_everyone_could_make_is_everyones(public, tmp_path, monkeypatch):
    assert is_public(str(public / "lib"))
    assert is_public(str(public / "lib" / "python"))
    assert not is_public(str(tmp_path / "lib"))
    (link := tmp_path / "link").symlink_to(public)
    assert is_public(str(link))
    monkeypatch.chdir(public)
    assert is_public("")
    assert is_public(".")


def test_pythonpath_of_workers_has_no_entry_of_everyones(public, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path), "src", str(public), str(public / "none"), ""]))
    *own, last = sessions._import_path()["PYTHONPATH"].split(os.pathsep)
    assert last == str(tmp_path)
    assert len(own) <= 1
    assert not any(is_public(entry) for entry in own)


@second_user
def test_folders_that_are_anothers_are_no_ones_own(tmp_path):
    folder = tmp_path / "theirs" / "mine"
    folder.mkdir(parents=True, mode=0o700)
    assert is_private(folder)
    os.chown(folder.parent, NOBODY, NOBODY)
    assert changeable(folder) == folder.parent
    assert not is_private(folder)


def test_a_temporary_folder_that_others_can_exchange_is_left_for_another_or_refused(monkeypatch):
    root = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
    monkeypatch.setattr(private, "_LONGEST", 99)
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    try:
        with private.temporary_folder() as folder:
            assert folder.parent == root
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(private.working_folder(folder).stat().st_mode) == 0o500
        root.chmod(0o777)
        with private.temporary_folder() as folder:
            assert folder.parent == Path("/tmp")  # noqa: S108
        with pytest.raises(
            InputError,
            match=rf"other users can change {root}, where temporary files go\nhint: name another folder with",
        ):
            Jobs(None, "").start("module", [], "job")
        monkeypatch.setattr(private, "changeable", Path)
        with pytest.raises(
            InputError, match=r"other users can change /tmp, where temporary files go\nhint: run chmod \+t /tmp"
        ):
            private._root()
    finally:
        root.rmdir()


def plant_link(folder, other):
    other.mkdir(mode=0o700)
    folder.symlink_to(other)


def plant_open(folder, _):
    folder.mkdir()
    folder.chmod(0o777)


def plant_others(folder, _):
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)


@pytest.mark.parametrize("plant", [plant_link, plant_open, pytest.param(plant_others, marks=second_user)])
def test_received_models_go_to_no_folder_that_another_user_may_have_made(plant, tiny_models, tmp_path, monkeypatch):
    """In the temporary folder its name is known beforehand, kotovec-UID."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(checkpoints.tempfile, "gettempdir", lambda: str(temporary))
    folder = temporary / f"kotovec-{os.getuid()}"
    plant(folder, tmp_path / "other")
    checkpoint = plan_of(tiny_models["bert"]).checkpoint
    shutil.copytree(tiny_models["bert"], folder / checkpoint.weights[:16])
    there = elsewhere(checkpoint, tmp_path / "nowhere")
    assert there.find() is None
    with pytest.raises(
        InputError, match=r"can be written to by this user alone\nhint: make one of them private with chmod 700$"
    ):
        there.receive("me", *next(checkpoint.pieces()))
    if plant is plant_open:
        folder.chmod(0o700)
        assert there.find() == folder / checkpoint.weights[:16]
