"""Section 2: files of the user's that a link leads to, and devices and pipes that an output goes into."""

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from attacked import AS_NOBODY, run, second_user, tree
from planted import make_device


def test_a_part_file_is_not_opened_through_a_link(store, precious):
    """`.NAME.part` is opened through links: a stranger's store (or a link planted in a shared folder) overwrites any
    of the user's files with its bytes, `verify` says whole. Open with `O_EXCL | O_NOFOLLOW` and a random name, relative
    to a directory descriptor.
    """
    for name in ("static.l2.faiss", "static.l2.json"):
        (store / "indexes" / f".{name}.part").symlink_to(precious / ".bashrc")
    done = run("index", "--store", store)
    assert (precious / ".bashrc").read_text() == "mine"
    assert done.code == 0, done.err
    assert not (store / "indexes" / "static.l2.faiss").is_symlink()


@second_user
@pytest.mark.parametrize("option", ["--png", "--html"])
def test_a_link_that_another_user_plants_in_a_shared_folder_is_not_written_through(store, precious, public, option):
    """… or a link planted in a shared folder overwrites any of the user's files with its bytes."""
    public.chmod(0o777)  # in a sticky folder, some systems follow no links of others
    target = public / f"map{option[2:]}"
    plant = ["ln", "-s", str(precious / ".bashrc"), str(public / f".{target.name}.part")]
    subprocess.run([*AS_NOBODY, *plant], check=True)
    done = run("map", "--method", "pca", "--store", store, option, target)
    public.chmod(0o1777)
    assert (precious / ".bashrc").read_text() == "mine"
    assert done.code in (0, 2)


def into_pipe(store: Path, path: Path, option: str) -> bytes:
    """Draw a map into a pipe; return what its reader got."""
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()
    run("map", "--method", "pca", "--store", store, option, path)
    if stat.S_ISFIFO(path.lstat().st_mode):
        reader.join(10)
    return b"".join(got)


@pytest.mark.parametrize(("option", "begins"), [("--png", b"\x89PNG"), ("--html", b"<!")])
def test_an_output_into_a_pipe_leaves_it_one(store, tmp_path, option, begins):
    """`--png` and `--html` (and every other output) replace devices, FIFOs and links: write through to what is no
    regular file, or refuse.
    """
    pipe = tmp_path / "pipe"
    got = into_pipe(store, pipe, option)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert got.startswith(begins)


@pytest.mark.parametrize("option", ["--png", "--html"])
def test_an_output_into_a_device_leaves_it_one(store, tmp_path, option):
    """… replace devices: write through to what is no regular file, or refuse. The device is one of the test's own."""
    device = make_device(tmp_path / "null")
    run("map", "--method", "pca", "--store", store, option, device)
    assert stat.S_ISCHR(device.lstat().st_mode)


@pytest.mark.parametrize("option", ["--png", "--html"])
def test_an_output_into_a_link_leaves_it_a_link(store, tmp_path, option):
    """… replace links: keep a link a link."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "map").write_text("old")
    (tmp_path / "map").symlink_to("pictures/map")
    done = run("map", "--method", "pca", "--store", store, option, tmp_path / "map")
    assert done.code == 0, done.err
    assert (tmp_path / "map").is_symlink()
    assert tree(tmp_path / "pictures")["map"] != b"old"
