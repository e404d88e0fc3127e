"""The tree of commands, as Typer reads it from their modules."""

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from kotovec.cli.arguments import COMMANDS
from kotovec.cli.encodings import echo
from kotovec.cli.layout import SEE, Grouped, Root, width
from kotovec.version import __version__


def _version(asked: bool) -> None:
    if asked:
        echo(__version__)
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
