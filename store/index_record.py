"""The record of an index, which is beside its file: what it searches, how it was built, and of which vectors."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from kotovec.space import Space
from kotovec.store.factories import FLAT
from kotovec.store.files import open_regular, read_regular
from kotovec.store.layout import FAISS, MOST_RECORD, RECORD
from kotovec.store.metric import Metric

LAST = "last"  # the record of the index that is being replaced, in that of the new one


@dataclass(frozen=True)
class IndexRecord:
    """The record of an index file.

    Attributes:
        space, metric: the space that the index searches, and by which metric.
        factory: the index_factory string of faiss.
        parameters: faiss' search-time parameters that were set, such as `nprobe=16`; may be empty.
        dataset: SHA-256 of the dataset that it was built from.
        sha256: SHA-256 of the .faiss file.
        faiss: the version of faiss that wrote the file.
    """

    space: str
    metric: str
    factory: str
    parameters: str
    dataset: str
    sha256: str
    faiss: str

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return index_name(Space.parse(self.space), Metric(self.metric))

    @property
    def command(self) -> str:
        """The command that builds the index again."""
        import shlex

        words = ["kotovec", "index", "--space", self.space, "--metric", self.metric]
        words += ["--factory", self.factory] if self.factory != FLAT else []
        return shlex.join(words + (["--parameters", self.parameters] if self.parameters else []))


def index_name(space: Space, metric: Metric) -> str:
    """Return an index's file name, without its suffix."""
    return f"{space.stem}.{metric}"


def to_text(record: IndexRecord, last: IndexRecord | None = None) -> str:
    """Return the contents of a record's file; it holds the record of the index that is being replaced, too."""
    values = asdict(record) | ({} if last is None else {LAST: asdict(last)})
    return json.dumps(values, indent=1) + "\n"


def records(folder: Path) -> Iterator[IndexRecord]:
    """Yield the records of a store's indexes, in the order of their names; unreadable ones are skipped."""
    for path in sorted(folder.glob(f"*{RECORD}")):
        try:
            values = json.loads(read_regular(path, MOST_RECORD))
            last = values.pop(LAST, None)
            record = _read_record(values, path.stem)
            if last is not None and not _is_of(record, path.with_suffix(FAISS)):
                record = _read_record(last, path.stem)
            yield record
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            continue


def _read_record(values: dict[str, Any], name: str) -> IndexRecord:
    """Return the record of a JSON object; one of several errors is raised where it is none of this name."""
    layer = values.pop("layer", -1)  # of kotovec 0.1.0, which recorded a space in two parts
    values["space"] = str(Space.parse(values["space"]).at(layer if layer >= 0 else None))
    record = IndexRecord(**values)
    if record.name != name or not all(isinstance(value, str) for value in asdict(record).values()):
        raise ValueError(name)
    return record


def _is_of(record: IndexRecord, path: Path) -> bool:
    with open_regular(path) as file:
        return sha256_of(file) == record.sha256


def find_record(folder: Path, name: str) -> IndexRecord | None:
    """Return the record of an index, by its file name without the suffix; None where there is none."""
    return next((record for record in records(folder) if record.name == name), None)


def sha256_of(file: BufferedReader) -> str:
    """Return the SHA-256 of an open file, as hexadecimal digits."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
