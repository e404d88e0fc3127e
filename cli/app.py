"""The `kotovec` command: its sub-commands, and how every error becomes one line and an exit code.

Heavy imports stay inside the commands: `kotovec --help` needs typer and rich alone.
"""

import os
import re
import sys
from typing import Annotated

import typer
from kotovec.cli import build, index, info, norms, query, shell, verify

from kotovec.errors import KotovecError
from kotovec.version import __version__

INTERRUPTED = 130  # as a shell reports a process that Ctrl-C ended
UNEXPECTED = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (build, query, shell, norms, index, info, verify):
    app.command(name=module.__name__.rsplit(".", 1)[-1])(module.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def kotovec(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Turn the vocabulary of a BERT-like model into a vector database, and do word arithmetic in it.

    Example: `kotovec build demo`, then `kotovec query "king - man + woman"`.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 honest failure, 2 bad input, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; return the exit code. `KOTOVEC_DEBUG=1` shows tracebacks."""
    debug = os.environ.get("KOTOVEC_DEBUG", "") not in ("", "0")
    try:
        code = app(args=shield_minus(arguments), prog_name="kotovec", standalone_mode=False)
    except KotovecError as error:
        return _fail(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED, debug=False)
    except BrokenPipeError:
        # `kotovec … | head`: the reader has what it wanted. Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 — whatever it is, a user gets one line and an exit code
        # Typer's usage errors, without importing the Click that it vendors.
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            return _fail(f"{error.format_message()} (see kotovec --help)", int(error.exit_code), debug=False)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return _fail(f"{type(error).__name__}: {reason} (KOTOVEC_DEBUG=1 shows where)", UNEXPECTED, debug)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return code


def shield_minus(arguments: list[str]) -> list[str]:
    """Let an expression begin with a minus: what begins like an option and is none gets a space in front.

    `kotovec query "-男 + 王"` works; `--typo` and `-k5` stay what they are.
    """
    options = {"-h", "-k", "-q", "-"}
    return [
        f" {argument}"
        if re.match(r"-[^-]", argument) and argument not in options and not re.fullmatch(r"-k=?\d+", argument)
        else argument
        for argument in arguments
    ]
