"""Files of vectors as streams of bytes: read and written block by block, compressed with gzip or not."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol, cast

from kotovec.errors import InputError, StoreError
from kotovec.store.exchange.formats import is_zipped
from kotovec.store.files import open_descriptor, sinking

LEVEL = 6  # of gzip, its own default: 70 MB of numbers as text become 29


class Writable(Protocol):
    """What a file of vectors is written to."""

    def write(self, data: Any, /) -> object:
        """Write all of the bytes."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to read, decompressed if its name says so.

    Raises:
        InputError: there is none, it cannot be read, or what is compressed is damaged.
    """
    try:
        with open_descriptor(path) as file:
            if is_zipped(path):
                with gzip.GzipFile(fileobj=file) as unzipped:
                    yield cast("IO[bytes]", unzipped)
            else:
                yield file
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", hint="check its name") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is no complete gzip file", hint="download it again") from error
    except (InputError, StoreError):
        raise
    except OSError as error:
        if error.filename is None or Path(str(error.filename)) != path:
            raise
        raise InputError(f"{path} cannot be read ({error.strerror})", hint="name a file of vectors") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writable]:
    """Yield a file to write, which is there when the block succeeds, and compressed if its name says so.

    Raises:
        DiskFullError: no space is left.
        StoreError: the path is no regular file, or its folder is a link.
    """
    with sinking(path.parent.resolve() / path.name) as sink:

        class Checked(io.RawIOBase):
            """The sink, which stops an export on a full disk and not after its last block."""

            def writable(self) -> bool:
                """Return true."""
                return True

            def write(self, data: Any, /) -> int:
                """Write all of the bytes."""
                written = sink.write(data)
                sink.check()
                return written

        if not is_zipped(path):
            yield Checked()
            return
        # Without a name and a time in its header, the same vectors give the same bytes.
        with gzip.GzipFile(
            filename="", mode="wb", compresslevel=LEVEL, fileobj=cast("IO[bytes]", Checked()), mtime=0
        ) as zipped:
            yield zipped
