"""Whether files can be written somewhere: found out by writing one, and reported with the system's reason."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from kotovec import access
from kotovec.errors import StoreError


def test_a_folder_is_tried_and_left_as_it_was(tmp_path):
    assert access.obstacle(tmp_path) is None
    assert access.is_writable(tmp_path / "new" / "folder")
    access.check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("folder", "reason"), [("/proc", "no file can be made there"), ("/sys", ".+")])
def test_root_may_write_there_by_the_modes_and_cannot(folder, reason):
    if not os.path.ismount(folder):
        pytest.skip(f"{folder} is no file system of the kernel's here")
    with pytest.raises(StoreError, match=rf"^nothing can be written in {folder} \({reason}\)\nhint: do this$"):
        access.check_writable(Path(folder, "x", "y"), hint="do this")


def test_an_immutable_folder_is_refused(tmp_path):
    if subprocess.run(["chattr", "+i", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("no folder can be made immutable here (that takes root and ext4, xfs or btrfs)")
    try:
        with pytest.raises(StoreError, match="Operation not permitted"):
            access.check_writable(tmp_path)
    finally:
        subprocess.run(["chattr", "-i", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("number", "writable"), [("EROFS", False), ("EACCES", False), ("ENOSPC", True), ("EMFILE", True)]
)
def test_only_what_lies_in_the_folder_counts(tmp_path, monkeypatch, number, writable):
    """A full disk has an error of its own, which says what to free."""

    def refuse(**_):
        raise OSError(getattr(errno, number), "no")

    monkeypatch.setattr(access.tempfile, "TemporaryFile", refuse)
    assert access.is_writable(tmp_path) == writable
