"""What a stranger plants in a store or beside it; nothing here imports kotovec, so that any version can be attacked."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest


def replace_index(store: Path, content: bytes, factory: str) -> None:
    """Put a file in the place of the Flat index of `static`, with a record that vouches for it."""
    path = store / "indexes" / "static.l2.faiss"
    path.write_bytes(content)
    note = path.with_suffix(".json")
    record = json.loads(note.read_text()) | {"factory": factory, "sha256": hashlib.sha256(content).hexdigest()}
    note.write_text(json.dumps(record))


def make_device(path: Path) -> Path:
    """Make a device of the test's own that swallows what is written, as /dev/null does; skip where that takes root."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        path.open("wb").close()
    except OSError:
        pytest.skip("no device can be made here (that takes root)")
    return path
