"""Standard output that cannot be written, as it is closed or its disk is full: one error, whatever was printing."""

import contextlib
import io
import os
import sys

from kotovec.errors import KotovecError

_STDOUT = 1


class OutputError(KotovecError):
    """Standard output cannot be written."""


class _Output(io.FileIO):
    """The descriptor of standard output; a pipe that its reader has closed stays a `BrokenPipeError`."""

    def write(self, data: object) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"nothing can be written to standard output ({error.strerror})") from error


def guard_stdout() -> None:
    """Let what cannot be written to standard output raise an `OutputError`, also where the descriptor is closed.

    Python then has no `sys.stdout`, and the next file that is opened, such as one of a store, would be descriptor 1,
    into which libraries print.
    """
    if sys.stdout is None:
        closed = os.open(os.devnull, os.O_RDONLY)
        if closed != _STDOUT:
            os.dup2(closed, _STDOUT)
            os.close(closed)
        raw = _Output(_STDOUT, "w", closefd=False)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
        return
    stream = sys.stdout
    if type(stream) is not io.TextIOWrapper or stream.fileno() != _STDOUT:  # what stands in for it, such as pytest's
        return
    raw = _Output(_STDOUT, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.FileIO) else io.BufferedWriter(raw),  # the former with python -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def drop_output() -> None:
    """Forget what was printed and not written, which Python would try to write once more at exit, with a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
