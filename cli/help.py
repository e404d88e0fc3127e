"""`kotovec help`, and how `--help` is laid out: options in groups, nothing cut, readable on a narrow terminal."""

import shutil
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from kotovec.cli.declare import PANELS
from kotovec.cli.options import TopicArgument
from kotovec.errors import InputError, choices, quoted

WIDEST = 100  # columns of a help text: longer lines are hard to read
NARROW = 60  # columns below which an option and its help are two lines
ENVIRONMENT = "environment"
SEE = f"Every option has an environment variable, such as KOTOVEC_STORE: see `kotovec help {ENVIRONMENT}`."
# What no option stands for.
VARIABLES = {
    "KOTOVEC_DEBUG": "1 shows a traceback with an error",
    "KOTOVEC_HISTORY": "file in which `kotovec shell` keeps its history",
    "NO_COLOR": "1 prints without colours",
}


def command(topic: TopicArgument = None) -> None:
    """Explain a command, or all environment variables.

    Example: `kotovec help query`
    """
    from kotovec.cli.app import COMMANDS, make_app

    if topic == ENVIRONMENT:
        _print_variables()
        return
    if topic is not None and topic not in COMMANDS:
        raise InputError(f"there is no help on {quoted(topic)}", hint=f"choose {choices((*COMMANDS, ENVIRONMENT))}")
    names = COMMANDS if topic is None else [topic]
    make_app(names)(args=[*([topic] if topic else []), "--help"], prog_name="kotovec", standalone_mode=False)


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


def variables() -> dict[str, list[str]]:
    """Return every environment variable with what it sets: options and arguments, or what it does."""
    from typer.main import get_command

    from kotovec.cli.app import make_app

    found: dict[str, list[str]] = {}
    for each in get_command(make_app()).commands.values():  # type: ignore[attr-defined]  # of a group
        for parameter in each.params:
            names = parameter.envvar or []
            written = parameter.human_readable_name if parameter.param_type_name == "argument" else parameter.opts[0]
            for name in [names] if isinstance(names, str) else names:
                shown = found.setdefault(name, [])
                if written not in shown:
                    shown.append(written)
    return dict(sorted(found.items())) | {name: [text] for name, text in VARIABLES.items()}


def _print_variables() -> None:
    typer.echo("An option on the command line overrides its variable; a flag is set by 1 or true.\n")
    rows = variables().items()
    longest = max(len(name) for name, _ in rows)
    for name, shown in rows:
        typer.echo(f"  {name:<{longest}}  {', '.join(shown)}")
