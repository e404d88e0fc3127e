"""Files that a command is asked to write: whether they can be, before anything is computed for them."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kotovec import access
from kotovec.errors import InputError, quoted

_OURS = "name a file in a folder that is yours"


def check_output(
    path: Path, *endings: str, others: Sequence[str] = (), option: str = "", inputs: Sequence[Path] = ()
) -> None:
    """Check that a file can be written to a path, that it is none that is read, and that its name says what it is.

    Args:
        path: the path.
        endings: the endings that it may have, of which it has one if there are several, as that says the format; the
            first is also the name of its option unless this is given.
        others: the endings of the other files that the command writes.
        option: the option, such as `--details`.
        inputs: the files and the folders of stores that the command reads.

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
    check_apart(path, inputs)
    if (path.suffix or len(endings) > 1) and path.suffix.lower() not in endings:
        other = f", or use --{path.suffix[1:].lower()}" if path.suffix.lower() in others else ""
        what = f"ends in {path.suffix}" if path.suffix else "has no ending"
        problem = f"{option or f'--{endings[0][1:]}'} {path}: the name {what}"
        raise InputError(problem, hint=f"name a file that ends in {' or '.join(endings)}{other}")
    access.check_writable(path.parent, hint=_OURS)


def check_apart(path: Path, inputs: Sequence[Path]) -> None:
    """Check that what is written replaces nothing that is read, by whatever name or link.

    Args:
        path: the file or the folder of a store that is written.
        inputs: the files and the folders of stores that are read; nothing is written into these.

    Raises:
        InputError: it does; the message names both.
    """
    target = path.resolve()
    for each in inputs:
        source = each.resolve()
        is_same = path.exists() and each.exists() and path.samefile(each)
        if is_same or source.is_relative_to(target) or (each.is_dir() and target.is_relative_to(source)):
            other = "it" if path == each else str(each)
            raise InputError(f"{path} cannot be written: {other} is read", hint="name another file")
