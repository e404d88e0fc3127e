"""How `--help` is laid out: options in groups, nothing cut, readable on a narrow terminal."""

import shutil
from typing import Any

from typer.core import TyperCommand, TyperGroup

from kotovec.cli.declare import PANELS

WIDEST = 100  # columns of a help text: longer lines are hard to read
NARROW = 60  # columns below which an option and its help are two lines
ENVIRONMENT = "environment"
SEE = f"Every option has an environment variable, such as KOTOVEC_STORE: see `kotovec help {ENVIRONMENT}`."


def width() -> int:
    """Return how many columns a help text has."""
    return min(shutil.get_terminal_size().columns, WIDEST) - 2


class Root(TyperGroup):
    """The `kotovec` command: its help shows the whole summary of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every command and its summary, which Typer would cut."""
        rows = [(name, _summary(self.commands[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Grouped(TyperCommand):
    """A command whose help shows its options in groups, and their environment variables not at all."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options in the order of their groups."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", *PANELS)}
        for parameter in self.get_params(ctx):
            parameter.show_envvar = False  # type: ignore[attr-defined]  # arguments and options have it
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                panel = getattr(parameter, "rich_help_panel", None) or PANELS[-1]
                groups["Arguments" if is_argument else panel].append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records, col_max=4 if formatter.width < NARROW else 30)


def _summary(shown: Any) -> str:
    """Return the first paragraph of a command's help, in one line."""
    return " ".join((shown.help or "").partition("\n\n")[0].split())
