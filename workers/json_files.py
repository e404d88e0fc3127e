"""JSON files of a model, which may be anyone's: one strict reader for all of them."""

import json
import stat
from pathlib import Path
from typing import Any, NamedTuple

from kotovec.errors import ACCESS, ModelError, quoted

DOWNLOAD = "download the model again"
MOST_JSON = 64 << 20  # bytes; a config has some KB, the index of a checkpoint in parts up to some MB
MOST_TOKENIZER = 512 << 20  # bytes; that of 262,144 tokens has 33 MB


class JsonFile(NamedTuple):
    """A JSON object and the file that it was read from.

    Attributes:
        content: the object; an empty one where there is no such file.
        data: the bytes that it was read from; none where there is no such file.
    """

    content: dict[str, Any]
    data: bytes


def read_json(path: Path, most: int = MOST_JSON) -> dict[str, Any]:
    """Return the object in a JSON file of a model; an empty one where there is no such file.

    Args:
        path: the file.
        most: upper limit of its size in bytes.

    Raises:
        ModelError: the path is no regular file or too large, or its content is no JSON object, has a key twice, or is
            nested too deeply.
    """
    return read_json_file(path, most).content


def read_json_file(path: Path, most: int = MOST_JSON) -> JsonFile:
    """Return the object in a JSON file of a model, and the bytes that it was read from.

    Raises:
        ModelError: as `read_json`.
    """
    try:
        info = path.stat()
    except OSError:
        return JsonFile({}, b"")
    if not stat.S_ISREG(info.st_mode) or info.st_size > most:
        raise ModelError(f"{path} is not a file of at most {most:,} bytes", hint=DOWNLOAD)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})", hint=ACCESS) from error
    return JsonFile(_parse(data, path), data)


def _parse(data: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):  # Python takes the last value; other readers the first, or none
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ModelError(f"{path} has the key {quoted(twice[:80])} twice", hint="delete one of the two")
        return found

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except RecursionError as error:
        raise ModelError(f"{path} is nested too deeply", hint=DOWNLOAD) from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error})", hint=DOWNLOAD) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object", hint=DOWNLOAD)
    return value
