"""The `kotovec` command: its sub-commands, and how every error becomes a line, its hint and an exit code.

Heavy imports stay inside the commands: `kotovec --help` needs only typer and rich.
"""

import errno
import gc
import os
import signal
import sys
import threading
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer

from kotovec.cli.arguments import ASKS, COMMANDS, in_shell, joined_lists, shield_minus
from kotovec.cli.encodings import as_utf8, escaping_errors
from kotovec.cli.interrupts import INTERRUPTED, TERMINATED, hear_interrupts, in_child
from kotovec.cli.silence import note_unreadable, silence
from kotovec.cli.stdout import OutputError, drop_output, guard_stdout
from kotovec.cli.tree import make_app
from kotovec.cli.usage import check_dashes, check_paths, explain_usage, name_variable, stray_store, valued_flag
from kotovec.errors import ACCESS, ExpressionError, InputError, KotovecError, UnknownTokenError, first_line
from kotovec.limits import check_space, explain, fit_threads
from kotovec.text import escaped

UNEXPECTED = 1

_LIGHT, _HELP = ("completion", "help"), {"-h", "--help"}  # what needs neither numpy nor faiss
_BUILDS = ("build", "submit")  # in other processes, and the display needs no numpy


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 1 (honest failure), 2 (bad input), 130 (Ctrl-C) or 143 (SIGTERM)."""
    hear_interrupts()
    guard_stdout()
    if ASKS in os.environ:
        from kotovec.cli.completion import complete

        complete()
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=escaping_errors(stream.encoding))
    arguments = [as_utf8(argument) for argument in sys.argv[1:]] if arguments is None else arguments
    silence(arguments)
    apart = arguments[:1] in (["map"], ["index"]) and threading.active_count() == 1
    code = run_apart(arguments) if apart else run(arguments)
    # At exit Python would search all imported modules for garbage: 35 ms of a query's 250 ms.
    gc.freeze()
    sys.exit(code)


def run_apart(arguments: list[str]) -> int:
    """Run a command in a child process: UMAP's compiled loops hear no signals, and faiss' C++ can end the process."""
    code = in_child(partial(run, arguments))
    if code >= 0:
        return code
    killed = f"the process that computes was killed by {signal.Signals(-code).name}"
    if -code == signal.SIGKILL:
        return _fail(f"{killed} (out of memory?)", None, UNEXPECTED, debug=False)
    hint = "choose another factory or other parameters" if arguments[0] == "index" else None
    return _fail(killed, hint, UNEXPECTED if hint is None else InputError.exit_code, debug=False)


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. `KOTOVEC_DEBUG=1` shows tracebacks."""
    try:
        return _run(arguments)
    except OSError as error:  # what reports an error is imported only then, and no file can be opened
        if (found := explain(error)) is None:
            raise
        return _fail(*found, UNEXPECTED, debug=False)


def _run(arguments: list[str]) -> int:  # noqa: PLR0911 — one return per outcome
    debug = os.environ.get("KOTOVEC_DEBUG", "") not in ("", "0")
    arguments = arguments or ["--help"]
    try:
        code = _call(arguments)
    except KotovecError as error:
        return _fail(*_explained(error, arguments), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", None, INTERRUPTED, debug=False)
    except (BrokenPipeError, SystemExit) as error:
        # `kotovec … | head`: the reader needs no more. Typer turns the error into a SystemExit.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            if error.code == TERMINATED:
                return _fail("interrupted", None, TERMINATED, debug=False)
            raise
        drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 — the user gets a message and an exit code, whatever it is
        # Typer's usage errors, without importing the Click that it vendors.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _fail(*explain_usage(error, _tree(arguments), arguments), int(error.exit_code), debug=False)
        return _fail(*_unforeseen(error, debug=debug), debug)
    if code == INTERRUPTED:  # what Typer returns after Ctrl-C
        return _fail("interrupted", None, INTERRUPTED, debug=False)
    return code if isinstance(code, int) else 0


def _call(arguments: list[str]) -> Any:
    tree = _tree(arguments)
    check_dashes(tree, arguments)
    check_paths(tree, arguments)
    if arguments[0] in COMMANDS and arguments[0] not in _LIGHT and _HELP.isdisjoint(arguments):
        check_space()
        note_unreadable(arguments)
        fit_threads()
        if arguments[0] not in _BUILDS:
            # Deeper down, Python's stack of frames ends within a loop of this import, and a page of it is mapped and
            # unmapped 1,800 times: 25 ms of a query's 250 ms.
            import_module("numpy")
    if (command := tree.commands.get(arguments[0])) is not None:
        arguments = [arguments[0], *joined_lists(command.params, arguments[1:])]
    code = tree(args=shield_minus(arguments), prog_name="kotovec", standalone_mode=False)
    sys.stdout.flush()  # at exit, Python would report in its own words that it cannot be written
    return code


def _explained(error: KotovecError, arguments: list[str]) -> tuple[str, str | None]:
    if isinstance(error, OutputError):
        drop_output()
    message, hint = explain(error) or (str(error), error.hint)
    if isinstance(error, ExpressionError | UnknownTokenError):
        hint = valued_flag(_tree(arguments), arguments) or stray_store(arguments) or hint
    if isinstance(error, InputError):
        hint = name_variable(_tree(arguments), arguments, message, in_shell(hint) if hint else None)
    return message, hint


def _unforeseen(error: Exception, *, debug: bool) -> tuple[str, str | None, int]:
    """Return what an error means that kotovec did not raise, its hint, and the exit code."""
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return "the working directory was deleted", "go to another one", InputError.exit_code
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"{error.filename} cannot be opened: {error.strerror}", ACCESS, InputError.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG and error.filename is not None:
        return f"{error.filename} is too long a name for a file or a folder", "give a shorter one", InputError.exit_code
    if found := explain(error):
        return *found, UNEXPECTED
    hint = None if debug else "set KOTOVEC_DEBUG=1 to see where"
    return f"{type(error).__name__}: {first_line(error)}", hint, UNEXPECTED


def _tree(arguments: list[str]) -> Any:
    from typer.main import get_command

    return get_command(make_app(arguments[:1] if arguments[0] in COMMANDS else COMMANDS))


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _fail(message: str, hint: str | None, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    try:
        from kotovec.cli.tables import error_lines
    except (OSError, ImportError):  # no descriptor is left, or no memory: two lines that need nothing more
        lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
        print(escaped("\n".join(lines), keep="\n"), file=sys.stderr)
        return code
    print(error_lines(message, hint), file=sys.stderr)
    return code
