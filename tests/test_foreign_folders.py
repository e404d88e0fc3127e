"""What lies in or beside a store under a name of kotovec's, and is somebody else's: it stays, or is named."""

import os
import shutil
from pathlib import Path

import h5py
import pytest

from kotovec.cluster.build import build
from kotovec.cluster.where import Resources
from kotovec.errors import StoreError
from kotovec.space import Space
from kotovec.store import Store, index
from kotovec.store import folder as folders
from kotovec.store.cartography import MapRequest, make_map
from kotovec.store.layout import Layout
from kotovec.store.lock import locked
from kotovec.store.nearest import Metric
from kotovec.store.vectors import Vectors

from commands import call, make_store
from rays import plan_of

INLINE = Resources(workers=0)


@pytest.fixture(scope="module")
def planned(tiny_models):
    return plan_of(tiny_models["bert"])


@pytest.fixture(scope="module")
def built(planned, tmp_path_factory):
    """A finished store, which tests copy."""
    store = tmp_path_factory.mktemp("built") / "x.kotovec"
    build(planned, store, INLINE)
    return store


@pytest.fixture
def store(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "x.kotovec"))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plant(path: Path, what: str) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")


def test_overwrite_deletes_no_other_store_that_a_link_leads_to(planned, store, tmp_path):
    """In a shared folder anyone can plant a link of that name to any store of the user's."""
    other = shutil.copytree(store, tmp_path / "other.kotovec")
    (tmp_path / ".x.kotovec.rebuild").symlink_to(other)
    before = tree(other)
    with pytest.raises(
        StoreError, match=r"\.x\.kotovec\.rebuild is in the way\nhint: move it, and run the same command again$"
    ):
        build(planned, store, INLINE, overwrite=True)
    folders.delete_plan(Layout(tmp_path / ".x.kotovec.rebuild"))
    folders.tidy(Layout(tmp_path / ".x.kotovec.rebuild"))
    assert tree(other) == before


def test_a_file_where_overwrite_builds_is_named(planned, store, tmp_path):
    (tmp_path / ".x.kotovec.rebuild").write_text("mine")
    with pytest.raises(
        StoreError, match=r"\.x\.kotovec\.rebuild is in the way\nhint: move it, and run the same command again$"
    ):
        build(planned, store, INLINE, overwrite=True)
    assert (tmp_path / ".x.kotovec.rebuild").read_text() == "mine"


@pytest.mark.parametrize("what", ["pipe", "file", "link"])
@pytest.mark.parametrize("name", ["shards", "spaces", "tokenizer", "indexes", "maps"])
def test_what_is_no_folder_in_a_folders_place_is_named(planned, store, name, what):
    """A pipe was opened, and waited for a writer."""
    plant(store / name, what)
    with pytest.raises(StoreError, match=rf"x\.kotovec (holds|is not a store: it holds).*{name}\nhint: move it"):
        build(planned, store, INLINE)
    assert os.path.lexists(store / name)


@pytest.mark.parametrize("name", ["static.l2.json", "static.cosine.faiss"])
@pytest.mark.parametrize("what", ["pipe", "folder"])
def test_an_index_takes_no_place_of_a_pipe_or_a_folder(store, name, what):
    place = store / "indexes" / name
    place.unlink(missing_ok=True)
    plant(place, "pipe") if what == "pipe" else place.mkdir()
    mode = place.lstat().st_mode
    metric = Metric(name.split(".")[1])
    with pytest.raises(StoreError, match=rf"{name} is not a regular file\nhint: move it$"):
        index.build(Vectors(store), store / "indexes", Space("static"), metric)
    assert place.lstat().st_mode == mode


@pytest.mark.parametrize("name", ["maps/thesis.h5", "indexes/notes.json", "spaces/mine.h5", "spaces/static.old.h5"])
def test_a_file_is_kotovecs_by_the_name_of_a_space_alone(planned, store, name):
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_text("mine")
    before = tree(store)
    with pytest.raises(StoreError, match=rf"holds what is not kotovec's: {name}\nhint: move it, or name another path"):
        build(planned, store, INLINE, overwrite=True)
    assert tree(store) == before


@pytest.mark.parametrize("name", ["tokens.h5", "vectors.h5"])
@pytest.mark.parametrize("what", ["another format", "empty", "cut short"])
def test_an_unreadable_file_beside_a_tokenizer_makes_no_store(planned, tmp_path, name, what):
    """Overwrite deleted it, and all that was in the folder of the tokenizer."""
    folder = tmp_path / "experiment"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "thesis.txt").write_text("mine")
    with h5py.File(folder / name, "w") as file:
        file["measurements"] = range(1000)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes({"another format": b"mine", "empty": b"", "cut short": whole[:-100]}[what])
    before = tree(folder)
    for overwrite in (False, True):
        said = r"experiment (is not a store: it|holds what is not).* tokenizer(/thesis\.txt)?\nhint: move it"
        with pytest.raises(StoreError, match=said):
            build(planned, folder, INLINE, overwrite=overwrite)
    assert tree(folder) == before


@pytest.mark.parametrize("content", [b"", b"mine", b"cut"])
def test_a_damaged_store_is_overwritten_whatever_is_left_of_its_tokens(planned, store, content):
    path = store / "tokens.h5"
    path.write_bytes(path.read_bytes()[:-100] if content == b"cut" else content)
    shutil.rmtree(store / "indexes")
    assert build(planned, store, INLINE, overwrite=True).encoded == len(planned.tokens)
    assert Vectors(store).verify() == []


@pytest.mark.parametrize("name", [".DS_Store", "indexes/.DS_Store", "shards/.DS_Store", "tokenizer/.DS_Store"])
def test_overwrite_takes_what_a_file_manager_left_with_it(planned, store, tmp_path, name):
    (store / name).parent.mkdir(exist_ok=True)
    (store / name).write_bytes(b"")
    assert build(planned, store, INLINE, overwrite=True).encoded == len(planned.tokens)
    assert [path.name for path in tmp_path.iterdir()] == ["x.kotovec"]
    assert not (store / name).exists()


def test_a_store_that_was_set_aside_stays_while_there_is_no_other(planned, store, tmp_path):
    """Somebody made the folder anew between a swap that was cut short and the next build."""
    store.rename(tmp_path / ".x.kotovec.old")
    store.mkdir()
    before = tree(tmp_path / ".x.kotovec.old")
    folders.recover(Layout(store))
    assert tree(tmp_path / ".x.kotovec.old") == before or tree(store) == before


def test_overwrite_refuses_a_mount_point_before_it_encodes(planned, store, monkeypatch):
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == store)
    with pytest.raises(
        StoreError, match="is a mount point, which --overwrite cannot swap\nhint: build in a folder inside it$"
    ):
        build(planned, store, INLINE, overwrite=True)
    assert build(planned, store, INLINE).finished_before


@pytest.mark.parametrize(("text", "is_lock"), [("12345\nmy diary", False), ("12345\nhost-1.lan\n", True)])
def test_a_file_that_begins_as_a_lock_does_is_not_deleted(tmp_path, text, is_lock):
    path = tmp_path / ".x.kotovec.lock"
    path.write_text(text)
    if is_lock:
        with locked(Layout(tmp_path / "x.kotovec")):
            pass
    else:
        with pytest.raises(StoreError, match="is not kotovec's"), locked(Layout(tmp_path / "x.kotovec")):
            pass
        assert path.read_text() == text


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("tokens.h5", "settings"),
        ("tokens.h5", "versions"),
        ("tokens.h5", "tokenizer_files"),
        ("spaces/static.h5", "made"),
        ("maps/static.pca.h5", "parameters"),
        ("maps/static.pca.h5", "versions"),
        ("indexes/static.l2.json", None),
        ("tokenizer/tokenizer.json", None),
        ("shards/plan.json", None),
        ("shards/tokenizer.json", None),
    ],
)
@pytest.mark.parametrize("text", ["[" * 30_000, "7"], ids=["deep", "number"])
def test_no_json_of_a_store_is_a_crash(tmp_path, capsys, name, attribute, text):
    store = make_store(tmp_path / "x.kotovec")
    make_map(Store.open(store), MapRequest(method="pca"))
    (store / name).parent.mkdir(exist_ok=True)
    if attribute is None:
        (store / name).write_text(text)
    else:
        with h5py.File(store / name, "r+") as file:
            file.attrs[attribute] = text
    for command in (["query", "kings"], ["info"], ["verify"], ["map", "--method", "pca"], ["build", tmp_path / "none"]):
        done = call(capsys, *command, "--store", store)
        assert done.code in (0, 1, 2)
        assert "Error" not in done.err  # a class of Python's, which no error of kotovec's names
        assert len(done.err.splitlines()) <= 2
