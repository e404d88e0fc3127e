"""What is somebody else's stays as it is: nothing of it is overwritten through a link, replaced or deleted."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import pytest

from kotovec.cluster.fetch import Partial
from kotovec.errors import InputError, StoreError
from kotovec.space import Space
from kotovec.store import contents, index
from kotovec.store import folder as folders
from kotovec.store.files import write_text
from kotovec.store.layout import Layout
from kotovec.store.lock import locked
from kotovec.store.nearest import Metric
from kotovec.store.outputs import write_output
from kotovec.store.vectors import Vectors

import stores
from commands import call, make_store
from planted import make_device
from rays import Fake, plan_of, run_build

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture
def precious(tmp_path):
    """A folder of the user's, and what must be in it in the end."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".bashrc").write_text("alias ls='ls -F'")
    (folder / ".ssh" / "id_ed25519").write_text("a key")
    (folder / "000000.h5").write_text("a measurement")
    yield folder
    assert {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        ".bashrc": "alias ls='ls -F'",
        ".ssh/id_ed25519": "a key",
        "000000.h5": "a measurement",
    }


@pytest.fixture
def planned(tiny_models):
    return plan_of(tiny_models["bert"])


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- overwritten


def test_a_link_in_place_of_a_part_is_not_written_through(tmp_path, precious):
    """The name that parts had: a stranger's store came with a link of that name to any of the user's files."""
    (tmp_path / ".target.part").symlink_to(precious / ".bashrc")
    write_text(tmp_path / "target", "new")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / ".target.part").is_symlink()


def test_parts_have_names_that_nobody_can_foretell(tmp_path, monkeypatch):
    opened = []
    really = os.open

    def watch(path, *arguments, **options):
        opened.append((str(path), arguments[0]))
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watch)
    write_text(tmp_path / "target", "first")
    write_text(tmp_path / "target", "second")
    names = [name for name, _ in opened if name.endswith(".part")]
    assert len(set(names)) == 2
    for name, flags in opened:
        if name in names:
            assert flags & os.O_EXCL
            assert flags & os.O_NOFOLLOW


@pytest.mark.parametrize("name", ["indexes", "maps"])
def test_a_folder_of_a_strangers_store_that_is_a_link_is_not_written_into(tmp_path, precious, name, capsys):
    store = make_store(tmp_path / "x.kotovec")
    shutil.rmtree(store / name, ignore_errors=True)
    (store / name).symlink_to(precious)
    command = ["index"] if name == "indexes" else ["map", "--method", "pca", "--space", "static"]
    done = call(capsys, *command, "--store", store)
    assert done.code == 2
    assert (
        done.err
        == f"error: {store / name} is a link, and nothing is written through it\nhint: put a folder in its place\n"
    )


def test_a_record_behind_a_linked_folder_is_not_deleted(tmp_path):
    store = make_store(tmp_path / "x.kotovec")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "static.l2.json").write_text("{}")
    shutil.rmtree(store / "indexes", ignore_errors=True)
    (store / "indexes").symlink_to(tmp_path / "other")
    with pytest.raises(StoreError, match="is a link"):
        index.build(Vectors(store), store / "indexes", Space("static"), Metric.L2)
    assert tree(tmp_path / "other") == {"static.l2.json": b"{}"}


def test_an_output_may_be_a_device_which_stays_one(tmp_path):
    device = make_device(tmp_path / "null")
    write_output(device, b"a picture")
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_an_output_may_be_a_pipe_that_somebody_reads(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"a picture")
    reader.join(10)
    assert got == [b"a picture"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_an_output_may_be_standard_output(tmp_path):
    command = "from pathlib import Path; from kotovec.store.outputs import write_output; "
    command += "write_output(Path('/dev/stdout'), b'a picture')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"a picture"


def test_a_link_to_an_output_stays_a_link(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "map.png").write_text("old")
    (tmp_path / "map.png").symlink_to("pictures/map.png")
    write_output(tmp_path / "map.png", b"new")
    assert (tmp_path / "map.png").is_symlink()
    assert tree(tmp_path / "pictures") == {"map.png": b"new"}
    (tmp_path / "new.png").symlink_to("pictures/new.png")  # which is not there yet
    write_output(tmp_path / "new.png", b"new")
    assert tree(tmp_path / "pictures") == {"map.png": b"new", "new.png": b"new"}


def test_a_link_that_another_user_planted_where_an_output_goes_is_refused(tmp_path, precious):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "map.png").symlink_to(precious / ".bashrc")
    try:
        os.lchown(shared / "map.png", 65534, 65534)
    except OSError:
        pytest.skip("a link of another user cannot be made here (that takes root)")
    with pytest.raises(InputError, match=r"is a link of another user's\nhint: delete it, or name another file$"):
        write_output(shared / "map.png", b"a picture")


@pytest.mark.parametrize("where", ["device", "folder"])
def test_a_link_of_another_user_to_a_device_or_a_folder_is_refused(tmp_path, precious, where):
    """It could lead to a disk, or to a folder with a file of the same name."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link, output = shared / "map.png", shared / "map.png"
    if where == "folder":
        link.symlink_to(precious)
        output = link / ".bashrc"
    else:
        os.mkfifo(tmp_path / "pipe")  # in place of the device; opening it would wait
        link.symlink_to(tmp_path / "pipe")
    before = tree(precious)
    try:
        os.lchown(link, 65534, 65534)
    except OSError:
        pytest.skip("a link of another user cannot be made here (that takes root)")
    with pytest.raises(InputError, match=r"map.png is a link of another user's\nhint: delete it"):
        write_output(output, b"a picture")
    assert tree(precious) == before


def test_a_pipe_that_a_file_replaced_meanwhile_is_not_truncated(tmp_path, monkeypatch):
    path = tmp_path / "map.png"
    path.write_text("precious")
    monkeypatch.setattr(Path, "is_file", lambda _: False)  # as it was when it was looked at
    with pytest.raises(InputError, match="became another file meanwhile"):
        write_output(path, b"a picture")
    assert path.read_text() == "precious"


def test_a_link_in_a_circle_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InputError, match=r"is a link to itself\nhint: name another file$"):
        write_output(tmp_path / "a", b"")


@pytest.mark.parametrize("option", ["--png", "--html"])
def test_a_map_goes_into_a_pipe(tmp_path, capsys, option):
    store, pipe, got = make_store(tmp_path / "x.kotovec"), tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    done = call(capsys, "map", "--store", store, "--method", "pca", option, pipe)
    reader.join(20)
    assert (done.code, done.err) == (0, "")
    assert got[0].startswith(b"\x89PNG" if option == "--png" else b"<!")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


# ---- deleted


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebodys_shards_and_tokenizer_is_no_unfinished_store(employ, planned, tmp_path, overwrite):
    """A failed build deleted it whole, a successful one what was in `shards`."""

    class Failing(Fake):
        def encode(self, *_):
            raise ZeroDivisionError

    folder = tmp_path / "experiment"
    for name in ("shards/part-0.parquet", "shards/000000.h5", "tokenizer/tokenizer.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    before = tree(folder)
    for worker in (Failing, Fake):
        employ(worker)
        with pytest.raises(StoreError, match=r"is not a store: it holds (shards|tokenizer)"):
            run_build(planned, folder, overwrite=overwrite)
        assert tree(folder) == before


@pytest.mark.parametrize("name", ["shards", "spaces", "tokenizer", "indexes", "maps"])
def test_one_folder_alone_is_no_store_either(employ, planned, tmp_path, name):
    (tmp_path / "x" / name).mkdir(parents=True)
    (tmp_path / "x" / name / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=f"is not a store: it holds {name}"):
        run_build(planned, tmp_path / "x")
    assert tree(tmp_path / "x") == {f"{name}/notes.txt": b"mine"}


def test_foreign_shards_in_a_finished_store_are_named_and_stay(employ, planned, tmp_path):
    store = tmp_path / "x.kotovec"
    run_build(planned, store)
    (store / "shards").mkdir()
    (store / "shards" / "part-0.parquet").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(
            StoreError,
            match=r"holds what is not kotovec's: shards/part-0\.parquet\nhint: move it, or name another path",
        ):
            run_build(planned, store, overwrite=overwrite)
    assert (store / "shards" / "part-0.parquet").read_text() == "mine"


def test_what_appears_in_shards_while_a_build_runs_stays(employ, planned, tmp_path):
    class Planting(Fake):
        def encode(self, *arguments):
            (tmp_path / "x.kotovec" / "shards" / "notes.txt").write_text("mine")
            return super().encode(*arguments)

    employ(Planting)
    run_build(planned, tmp_path / "x.kotovec")
    assert tree(tmp_path / "x.kotovec" / "shards") == {"notes.txt": b"mine"}


@pytest.mark.parametrize("state", ["finished", "begun"])
def test_nothing_is_deleted_through_linked_shards(employ, planned, tmp_path, precious, state):
    store = tmp_path / "x.kotovec"
    run_build(planned, store)
    if state == "begun":
        (store / "tokens.h5").unlink()
        (precious / "plan.json").write_text(json.dumps(planned.task))
    (store / "shards").symlink_to(precious)
    with pytest.raises(StoreError, match=r"(holds|holds what is not kotovec's:) (indexes|shards)"):
        run_build(planned, store)
    folders.delete_shards(Layout(store))
    folders.delete_plan(Layout(store))
    (precious / "plan.json").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "name", [".git/config", ".ssh/id_ed25519", "tokenizer/thesis.txt", "indexes/notes.md", "spaces/notes.md", ".env"]
)
def test_overwrite_names_what_it_would_delete_and_does_not(employ, planned, tmp_path, name):
    store = tmp_path / "x.kotovec"
    run_build(planned, store)
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_text("mine")
    before = tree(store)
    with pytest.raises(StoreError, match=f"holds what is not kotovec's: {name.split('/')[0]}"):
        run_build(planned, store, overwrite=True)
    assert tree(store) == before


@pytest.mark.parametrize("name", ["tokens.h5", "vectors.h5"])
def test_overwrite_does_not_delete_another_programs_vectors(employ, planned, tmp_path, name):
    (tmp_path / "x").mkdir()
    with h5py.File(tmp_path / "x" / name, "w") as file:
        file["measurements"] = [1.0, 2.0]
    before = tree(tmp_path / "x")
    with pytest.raises(StoreError, match=f"(it holds|holds what is not kotovec's:) {name}"):
        run_build(planned, tmp_path / "x", overwrite=True)
    assert tree(tmp_path / "x") == before


@pytest.mark.parametrize("name", [".x.kotovec.old", ".x.kotovec.rebuild"])
def test_a_foreign_folder_of_a_name_that_a_swap_uses_is_not_deleted(employ, planned, tmp_path, name, monkeypatch):
    store, theirs = tmp_path / "x.kotovec", tmp_path / name
    run_build(planned, store)
    for path in ("thesis.txt", "shards/data.csv", "tokens.h5", "vectors.h5"):
        (theirs / path).parent.mkdir(parents=True, exist_ok=True)
        (theirs / path).write_text("mine")
    before = tree(theirs)
    run_build(planned, store)
    assert tree(theirs) == before
    monkeypatch.setattr("kotovec.store.folder._exchange", lambda *_: False)
    with pytest.raises(StoreError, match=f"{name} (is in the way|is not a store|holds what)"):
        run_build(planned, store, overwrite=True)
    assert tree(theirs) == before
    assert Vectors(store).verify() == []


def test_a_foreign_file_in_the_locks_place_is_not_deleted(tmp_path):
    (tmp_path / ".x.kotovec.lock").write_text("mine")
    with pytest.raises(StoreError, match="is not kotovec's"), locked(Layout(tmp_path / "x.kotovec")):
        pass
    assert (tmp_path / ".x.kotovec.lock").read_text() == "mine"


@pytest.mark.parametrize("what", ["files", "linked", "linked inside", "named by its manifest"])
def test_a_foreign_folder_in_a_fetchs_place_is_not_deleted_and_not_written_into(tmp_path, precious, what):
    folder = tmp_path / ".x.kotovec.fetch"
    manifest = {"files": [{"path": ".bashrc", "bytes": 3, "changed": 0, "sums": ["0" * 64]}]}
    if what == "linked":
        folder.symlink_to(precious)
    else:
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps(manifest))
    if what == "files":
        (folder / "store").mkdir()
        (folder / "store" / "thesis.txt").write_text("mine")
    elif what == "linked inside":
        (folder / "store").symlink_to(precious)
    elif what == "named by its manifest":
        manifest["files"][0]["path"] = "../../home/.bashrc"
        (folder / "manifest.json").write_text(json.dumps(manifest))
        partial = Partial(tmp_path / "x.kotovec")
        assert partial.pieces == []
        return
    with pytest.raises(StoreError, match=r"\.x\.kotovec\.fetch is not kotovec's"):
        Partial(tmp_path / "x.kotovec")
    if what == "files":
        assert (folder / "store" / "thesis.txt").read_text() == "mine"


def test_a_hard_link_in_a_fetchs_place_is_not_written_through(tmp_path, precious):
    folder = tmp_path / ".x.kotovec.fetch"
    (folder / "store").mkdir(parents=True)
    (folder / "store" / "tokens.h5").hardlink_to(precious / ".bashrc")
    files = [{"path": "tokens.h5", "bytes": 3, "changed": 0, "sums": [hashlib.sha256(b"bad").hexdigest()]}]
    (folder / "manifest.json").write_text(json.dumps({"files": files}))
    partial = Partial(tmp_path / "x.kotovec")  # `precious` checks its file afterwards
    assert len(partial.pieces) == 1
    with pytest.raises(OSError, match="a hard link"):
        partial.write(0, b"bad")


@pytest.mark.parametrize("content", ["[" * 10**5, '{"files": 7}', None])
def test_a_manifest_that_is_none_is_no_fetch(tmp_path, content):
    folder = tmp_path / ".x.kotovec.fetch"
    folder.mkdir()
    (folder / "manifest.json").write_text(content or "")
    if content is None:
        os.truncate(folder / "manifest.json", 75 << 30)  # sparse
    assert Partial(tmp_path / "x.kotovec").pieces == []


def test_what_kotovec_wrote_is_all_its_own(employ, planned, tmp_path, capsys):
    """Else `--overwrite` would refuse its own stores."""
    store = tmp_path / "x.kotovec"
    run_build(planned, store)
    assert call(capsys, "map", "--store", store, "--method", "pca").code == 0
    assert call(capsys, "index", "--store", store, "--metric", "cosine").code == 0
    assert len(list(Layout(store).maps.iterdir())) > 0
    assert contents.foreign(store) is None
    summary, _ = run_build(planned, store, overwrite=True)
    assert summary.encoded == len(planned.tokens)
    assert [path.name for path in tmp_path.iterdir()] == ["x.kotovec"]


def test_another_user_cannot_have_our_files_overwritten_in_a_shared_folder(tmp_path, precious):
    """They plant a link of each name that is known beforehand, beside a store in a folder like /tmp."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    names = [".x.kotovec.lock", ".x.kotovec.rebuild", ".x.kotovec.old", ".x.kotovec.fetch"]
    script = " && ".join(f"ln -s {precious}/.bashrc {shared}/{name}" for name in names)
    if subprocess.run([*NOBODY, "sh", "-c", script], capture_output=True).returncode:
        pytest.skip("no second user can be had here (that takes root and setpriv)")
    layout = Layout(shared / "x.kotovec")
    with pytest.raises(StoreError), locked(layout):
        pass
    folders.recover(layout)
    stores.write_store(layout.folder, stores.numbered(3), [[1.0], [2.0], [3.0]])
    with pytest.raises(StoreError):
        Partial(layout.folder)
