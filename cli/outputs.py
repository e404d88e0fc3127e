"""Files that a command is asked to write: whether they can be, before anything is computed for them."""

import os
from pathlib import Path

from kotovec.errors import InputError


def check_output(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        InputError: there is no such folder, or it is not the user's.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    special = path.exists() and not path.is_file()  # a pipe or a device: nothing is made in its folder
    if path.is_dir() or not os.access(path if special else path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written", hint="name a file in a folder that is yours")
