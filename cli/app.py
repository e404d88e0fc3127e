"""The `kotovec` command: its sub-commands, and how every error becomes a line, its hint and an exit code.

Heavy imports stay inside the commands: `kotovec --help` needs only typer and rich.
"""

import gc
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.encodings import as_utf8, escaping_errors
from kotovec.cli.help import SEE, Grouped, Root, width
from kotovec.cli.interrupts import TERMINATED, hear_sigterm
from kotovec.errors import InputError, KotovecError, choices, first_line, quoted
from kotovec.version import __version__

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
UNEXPECTED = 1

_PATHS = ("--store", "--file", "--config", "--fetch", "--png", "--html")
_QUOTE = "'"  # around a command that Typer proposes
COMMANDS = ("build", "submit", "query", "shell", "norms", "index", "map", "info", "verify", "completion", "help")
_ASKS = "_KOTOVEC_COMPLETE"  # set by a shell on Tab


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


def kotovec(
    _version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Turn the vocabulary of a BERT-like model into a vector database, and do word arithmetic in it.

    Example: `kotovec build demo`, then `kotovec query "king - man + woman"`.
    """


def make_app(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """Return the command line with some of its commands, as reading the options of all of them takes 25 ms."""
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        # Typer's own boxes import Markdown, Pygments and tracebacks: --help would take twice as long.
        rich_markup_mode=None,
        cls=Root,
        # Click itself would take 50 columns where a terminal has 40.
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": width()},
    )
    app.callback(epilog=SEE)(kotovec)
    for name in names:
        app.command(name=name, cls=Grouped, epilog=SEE)(import_module(f"kotovec.cli.{name}").command)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done), 1 (honest failure), 2 (bad input), 130 (Ctrl-C) or 143 (SIGTERM)."""
    hear_sigterm()
    if _ASKS in os.environ:
        from kotovec.cli.completion import complete

        complete()
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=escaping_errors(stream.encoding))
    code = run([as_utf8(argument) for argument in sys.argv[1:]] if arguments is None else arguments)
    # At exit Python would search all imported modules for garbage: 35 ms of a query's 250 ms.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:  # noqa: PLR0911 — one return per outcome
    """Run the command line; return the exit code. `KOTOVEC_DEBUG=1` shows tracebacks."""
    debug = os.environ.get("KOTOVEC_DEBUG", "") not in ("", "0")
    arguments = shield_minus(arguments or ["--help"])
    app = make_app(arguments[:1] if arguments[0] in COMMANDS else COMMANDS)
    try:
        code = app(args=arguments, prog_name="kotovec", standalone_mode=False)
    except KotovecError as error:
        return _fail(str(error), error.hint, error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", None, INTERRUPTED, debug=False)
    except (BrokenPipeError, SystemExit) as error:
        # `kotovec … | head`: the reader needs no more. Typer turns the error into a SystemExit.
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            if error.code == TERMINATED:
                return _fail("interrupted", None, TERMINATED, debug=False)
            raise
        # Without this, Python reports the broken pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 — the user gets a message and an exit code, whatever it is
        # Typer's usage errors, without importing the Click that it vendors.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            command = f"kotovec {arguments[0]}" if arguments[0] in COMMANDS else "kotovec"
            return _fail(*_usage(error.format_message(), command), int(error.exit_code), debug=False)
        if isinstance(error, FileNotFoundError) and not _has_working_directory():
            return _fail("the working directory was deleted", "go to another one", InputError.exit_code, debug)
        message = f"{type(error).__name__}: {first_line(error)}"
        return _fail(message, None if debug else "set KOTOVEC_DEBUG=1 to see where", UNEXPECTED, debug)
    if code == INTERRUPTED:  # what Typer returns after Ctrl-C
        return _fail("interrupted", None, INTERRUPTED, debug=False)
    return code if isinstance(code, int) else 0


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
    from kotovec.cli.tables import error_lines

    print(error_lines(message, hint), file=sys.stderr)
    return code


def _usage(message: str, command: str) -> tuple[str, str]:
    """Return Typer's message as kotovec's own, in lower case and without a full stop, and its proposal as the hint.

    Args:
        message: Typer's message.
        command: the command that was misused, such as `kotovec query`.
    """
    named = re.search(r" (?:Did you mean (.+)\?|\(Possible options: (.+)\))$", message)
    if named:
        hint = f"use {choices(name.strip(_QUOTE) for name in (named[1] or named[2]).split(', '))}"
    else:
        hint = f"see {quoted(f'{command} --help')}"
    problem = message[: named.start()] if named else message
    return problem[:1].lower() + problem[1:].removesuffix("."), hint


def shield_minus(arguments: list[str]) -> list[str]:
    """Put a space before what looks like an option and is none, so that an expression can begin with a minus.

    `kotovec query "-男 + 王"` works; `--typo`, `-k5`, and a path after its option are left as they are.
    """
    options = {"-h", "-k", "-q", "-V", "-"}
    return [
        f" {argument}"
        if re.match(r"-[^-]", argument)
        and argument not in options
        and before not in _PATHS
        and not re.fullmatch(r"-k=?\d+", argument)
        else argument
        for before, argument in pairwise(["", *arguments])
    ]
