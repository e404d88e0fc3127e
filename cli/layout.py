"""How `--help` is laid out: options in groups, nothing cut, readable on a narrow terminal."""

import shutil
from collections.abc import Sequence
from inspect import cleandoc
from typing import Any

from rich.cells import cell_len
from typer.core import TyperCommand, TyperGroup

from kotovec.cli.declare import PANELS
from kotovec.cli.encodings import own
from kotovec.cli.lines import broken

WIDEST = 100  # columns of a help text: longer lines are hard to read
MARGIN = 30  # columns of an option that its help stands beside, at most
NARROW = 60  # columns below which an option and its help are two lines
ENVIRONMENT = "environment"
SEE = f"Every option has an environment variable, such as KOTOVEC_STORE: see `kotovec help {ENVIRONMENT}`."


def width() -> int:
    """Return how many columns a help text has."""
    return min(shutil.get_terminal_size().columns, WIDEST) - 2


class _Lines:
    """Help and epilog in lines that no word, option or command is broken by."""

    help: str | None
    epilog: str | None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return how the arguments are written."""
        return list(map(own, super().collect_usage_pieces(ctx)))  # type: ignore[misc]  # of a command

    def format_help_text(self, _ctx: Any, formatter: Any) -> None:
        """Write what a command does."""
        _write_text(formatter, self.help)

    def format_epilog(self, _ctx: Any, formatter: Any) -> None:
        """Write what stands at the end of the help."""
        _write_text(formatter, self.epilog)


class Root(_Lines, TyperGroup):
    """The `kotovec` command: its help shows the whole summary of each command."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write every command and its summary, which Typer would cut."""
        rows = [(name, _summary(self.commands[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            _write_list(formatter, rows, max(len(name) for name, _ in rows))


class Grouped(_Lines, TyperCommand):
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
                    _write_list(formatter, records, 4 if formatter.width < NARROW else MARGIN)


def _summary(shown: Any) -> str:
    """Return the first paragraph of a command's help, in one line."""
    return " ".join((shown.help or "").partition("\n\n")[0].split())


def _write_text(formatter: Any, text: str | None) -> None:
    """Write paragraphs, each after an empty line."""
    with formatter.indentation():
        for paragraph in own(cleandoc(text or "")).split("\n\n"):
            text, indent = " ".join(paragraph.split()), " " * formatter.current_indent
            lines = broken(text, formatter.width, indent=indent, commands=True)
            formatter.write(f"\n{lines}\n")


def _apart(text: str, room: int) -> str:
    """Return the text of an option, whose default begins a line if it is longer than one."""
    start = text.rfind("  [default: ")
    is_long = start > 0 and cell_len(text[start:].strip()) > room
    return f"{text[:start]}\n{text[start:].strip()}" if is_long else text


def _write_list(formatter: Any, records: Sequence[tuple[str, str]], most: int) -> None:
    """Write names and texts in two columns, of which the first has `most` columns at most."""
    records = [(own(name), own(text)) for name, text in records]
    indent = " " * formatter.current_indent
    longest = min(most, max(cell_len(name) for name, _ in records))
    follow = f"{indent}{'':{longest}}  "
    for name, text in records:
        room = formatter.width - len(follow)
        lines, rest = broken(_apart(text, room), formatter.width, indent=follow), longest - cell_len(name)
        beside = f"{' ' * rest}  {lines[len(follow) :]}" if rest >= 0 else f"\n{lines}"
        formatter.write(f"{indent}{name}{beside}\n")
