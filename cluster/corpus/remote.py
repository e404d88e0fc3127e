"""Files of a corpus that are not on this machine: listed, stamped and opened by fsspec (https://filesystem-spec.readthedocs.io)."""

import contextlib
import http
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from kotovec.cluster.corpus.corpus import CorpusFile
from kotovec.cluster.corpus.kinds import is_web
from kotovec.errors import CorpusError, InputError, KotovecError, MissingDependencyError, first_line
from kotovec.text import escaped

BLOCK_BYTES = 8 << 20  # of a range request: an S3 or web server answers one in some 50 ms, which hides behind 8 MB
# What changes with a file behind a URL, by the names that file systems of fsspec give it.
_STAMPS = ("ETag", "etag", "blob_id", "xet_hash", "generation", "Last-Modified", "LastModified", "last_modified")
_TIMES = ("mtime", "updated", "created", "Content-MD5", "Digest")
_PATIENCE = 60.0  # seconds without a byte from a web server
_HINT = "check the URL, the network and the credentials of its file system"


def list_url(url: str) -> tuple[list[CorpusFile], bool]:
    """Return the files of a URL, a pattern or a folder, and whether it is a folder.

    Raises:
        InputError: there is nothing, or it cannot be asked.
        MissingDependencyError: fsspec, or the package behind this kind of URL, is not installed.
    """
    with _naming_errors(url):
        system, path = _connect(url)
        if _is_pattern(url):
            found = system.glob(path, detail=True)
            if not path.rpartition("/")[2].startswith("."):  # as the shell's patterns
                found = {name: info for name, info in found.items() if not name.rpartition("/")[2].startswith(".")}
        elif url.endswith("/") or (info := system.info(path))["type"] == "directory":
            found = system.find(path, detail=True)
        else:
            return [_describe(system, path, info)], False
        files = [_describe(system, name, info) for name, info in found.items() if info["type"] == "file"]
        return files, not _is_pattern(url)


def find_url(url: str) -> CorpusFile | None:
    """Return a file as it is now; None where there is none any more.

    Raises:
        InputError: it cannot be asked.
    """
    with _naming_errors(url):
        system, path = _connect(url)
        system.invalidate_cache()  # of what it listed before
        try:
            return _describe(system, path, system.info(path))
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def open_url(file: CorpusFile, start: int) -> Iterator[BinaryIO]:
    """Open a file at an offset; what it raises while it is read is a CorpusError.

    Raises:
        CorpusError: it is not there, has another size than it had, or cannot be read.
    """
    with _naming_errors(file.path):
        system, path = _connect(file.path)
        options: dict[str, Any] = {"block_size": 0} if file.whole else {"block_size": BLOCK_BYTES}
        with system.open(path, "rb", **options) as opened:
            size = getattr(opened, "size", None)
            if file.size and size is not None and size != file.size:
                raise CorpusError(f"{file.path} has changed: {size:,} bytes instead of {file.size:,}")
            if start:
                opened.seek(start)
            yield opened


def _is_pattern(url: str) -> bool:
    if is_web(url):
        return any(char in urlsplit(url).path for char in "*[")
    return any(char in url for char in "*?[")


def _connect(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError(
            f"{escaped(url)} needs fsspec to be read", hint="install it: pip install 'kotovec[corpus]'"
        ) from error
    options: dict[str, Any] = {}
    if is_web(url):
        import aiohttp

        # fsspec's own limit is five minutes for a whole file.
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
        options["client_kwargs"] = {"timeout": limits}
    system, path = url_to_fs(url, **options)
    return system, path


def _describe(system: Any, path: str, info: Mapping[str, Any]) -> CorpusFile:
    url = str(system.unstrip_protocol(path))
    size = int(info.get("size") or 0)
    if is_web(url) and len(info) and "url" not in info:  # links of a page say nothing of their files
        info = system.info(path)
        size = int(info.get("size") or 0)
    stamp = next((str(info[name]) for name in (*_STAMPS, *_TIMES) if info.get(name)), "")
    return CorpusFile(url, size, stamp, whole=is_web(url) and not _has_ranges(system, path, size))


def _has_ranges(system: Any, path: str, size: int) -> bool:
    """Return whether a web server sends a part of a file: no header says so for certain."""
    if size <= 1:
        return size == 1
    with system.open(path, "rb", block_size=1, cache_type="none") as opened:
        if not opened.seekable():
            return False
        try:
            opened.seek(size - 1)
            return len(opened.read(1)) == 1
        except ValueError:  # fsspec's word for a server that sends the whole file
            return False


def _is_absence(error: BaseException) -> bool:
    """Return whether an error says that there is no such file: that of a file system, or HTTP's."""
    status = getattr(error, "status", None)
    return isinstance(error, FileNotFoundError) or status == http.HTTPStatus.NOT_FOUND


@contextlib.contextmanager
def _naming_errors(url: str) -> Iterator[None]:
    try:
        yield
    except KotovecError:
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec says so, too, of a server that does not answer, or refuses
        if cause is not None and not _is_absence(cause):
            raise CorpusError(f"{url} cannot be read ({first_line(cause)})", hint=_HINT) from error
        raise CorpusError(f"there is no file {url}", hint=_HINT) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{url} cannot be read ({first_line(error)})", hint="install the package of its file system, such as s3fs"
        ) from error
    except ValueError as error:
        raise InputError(f"{url} cannot be read ({first_line(error)})", hint=_HINT) from error
    except Exception as error:  # each file system has errors of its own
        raise CorpusError(f"{url} cannot be read ({first_line(error)})", hint=_HINT) from error
