"""Files that a command is asked to write: whether they can be, before anything is computed for them."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kotovec import access
from kotovec.errors import InputError, quoted

_OURS = "name a file in a folder that is yours"


def check_output(path: Path, *endings: str, others: Sequence[str] = (), option: str = "") -> None:
    """Check that a file can be written to a path, and that its name does not promise something else.

    Args:
        path: the path.
        endings: the endings that it may have; the first is also the name of its option unless this is given.
        others: the endings of the other files that the command writes.
        option: the option, such as `--details`.

    Raises:
        InputError: it cannot, or it does; the message names the path.
    """
    if not path.parent.is_dir():
        hint = f"make it with {quoted(shlex.join(['mkdir', '-p', str(path.parent)]))}, or name a file in another folder"
        raise InputError(f"{path}: there is no folder {path.parent}", hint=hint)
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="name a file in it")
    if path.exists() and not path.is_file():  # a pipe or a device: nothing is made in its folder
        if not os.access(path, os.W_OK):
            raise InputError(f"{path} cannot be written", hint=_OURS)
        return
    if path.suffix and path.suffix.lower() not in endings:
        other = f", or use --{path.suffix[1:].lower()}" if path.suffix.lower() in others else ""
        problem = f"{option or f'--{endings[0][1:]}'} {path}: the name ends in {path.suffix}"
        raise InputError(problem, hint=f"name a file that ends in {' or '.join(endings)}{other}")
    access.check_writable(path.parent, hint=_OURS)
