"""How an option is declared: its group in `--help`, its environment twin, and what a shell completes as its value."""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from kotovec.cli.complete import among

# The groups in which `--help` shows options.
MODEL, WORKERS, CLUSTER, JOBS = "Model", "Workers", "Cluster", "Jobs"
STORE, SEARCH, INDEX, MAP, DRAWN = "Store", "Search", "Index", "Map", "Picture and page"
TOKENS, CONTEXTS, EVALUATE, FILES = "Tokens", "Contexts", "Evaluation", "Files"
GEOMETRY = "Geometry"
OUTPUT = "Output"
PANELS = (
    *(MODEL, CONTEXTS, STORE, SEARCH, TOKENS, EVALUATE, GEOMETRY, FILES),
    *(INDEX, MAP, DRAWN, WORKERS, CLUSTER, JOBS, OUTPUT),
)


def option(
    panel: str,
    *names: str,
    help: str,  # noqa: A002 — Typer's own name
    metavar: str | None = None,
    complete: Callable[..., Any] | None = None,
    more: Sequence[str] = (),
    **settings: Any,
) -> Any:
    """Return an option with its environment twin: `KOTOVEC_` and its longest name, then `more` variables.

    Args:
        panel: the group in which `--help` shows it.
        names: how it is written.
        help: what it does.
        metavar: how its value is written; None for a flag.
        complete: returns what a shell offers as its value.
        more: other environment variables, which apply if its own is not set.
        settings: of `typer.Option`.
    """
    twin = f"KOTOVEC_{max(names, key=len).lstrip('-').replace('-', '_').upper()}"
    return typer.Option(
        *names,
        envvar=[twin, *more],
        help=help,
        metavar=metavar,
        autocompletion=complete,
        rich_help_panel=panel,
        readable=False,  # whether a path can be read is said by what reads it, in kotovec's words
        **settings,
    )


def choice(panel: str, name: str, values: str, **settings: Any) -> Any:
    """Return an option that takes one of some values, written as `cpu|cuda`; the command itself validates it."""
    return option(panel, name, metavar=values, complete=among(*values.split("|")), **settings)
