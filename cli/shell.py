"""`kotovec shell`: the store stays in memory, and expressions are answered line by line."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from kotovec.cli.chosen import AmbientLayer, lowered, open_store, usual_space
from kotovec.cli.encodings import as_utf8, echo, own
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.lines import say
from kotovec.cli.options import (
    CountOption,
    DeviceOption,
    ExactOption,
    ExcludeOption,
    JsonOption,
    LayerOption,
    MetricOption,
    QuietOption,
    ScriptOption,
    SpaceOption,
    StoreOption,
    UnitOption,
    WithinOption,
    WordsOption,
)
from kotovec.cli.query import print_result
from kotovec.cli.settings import HELP, Settings, as_typed, change
from kotovec.cli.tables import error_lines
from kotovec.errors import InputError, KotovecError
from kotovec.text import counted, escaped

if TYPE_CHECKING:
    from kotovec.store import Store

_ENDS = (":quit", ":q", ":exit")
_HELPS = (":help", ":h")
_COLON = re.compile(r"[:：][^\W\d_]")  # a colon of either width and a letter; "：" alone may be a token
# What is typed for them, too, on a terminal and in a pipe: in quotes, these are words.
_TYPED = {"quit": ":quit", "exit": ":exit", "help": ":help", "?": ":help"}


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = None,
    within: WithinOption = None,
    metric: MetricOption = "l2",
    k: CountOption = 10,
    exclude_inputs: ExcludeOption = False,
    unit_terms: UnitOption = False,
    words_only: WordsOption = False,
    script: ScriptOption = None,
    exact: ExactOption = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer expressions line by line, with history and completion of tokens.

    Example: `kotovec shell --space both --exclude-inputs`
    """
    opened = open_store(store)
    settings = Settings(
        space=usual_space(space, opened.spaces),
        layer=AmbientLayer(-1 if layer is None else layer),
        metric=metric,
        k=lowered(k, len(opened)),
        exclude_inputs=exclude_inputs,
        unit_terms=unit_terms,
        words_only=words_only,
        script=script,
        exact=exact,
        device=device,
        within=within,
    )
    settings.check(opened)  # before a prompt promises an answer
    interactive = sys.stdin.isatty()
    if interactive and not quiet:
        held = f"{escaped(str(opened.path))}: {counted(len(opened), 'token')}"
        say(f"{held}. :help lists what you can type.", stderr=True)
    failed = _answer(opened, settings, interactive, as_json=as_json, quiet=quiet)
    if failed and not interactive:
        raise typer.Exit(InputError.exit_code)


def _answer(store: "Store", settings: Settings, interactive: bool, *, as_json: bool, quiet: bool) -> bool:
    """Answer what is typed, or comes from a pipe; return whether a line could not be answered.

    At the prompt, Ctrl-C gives up an answer, and no more.
    """
    current, failed = [settings], False
    for line in _lines(store, current, interactive):
        if line in _ENDS:
            break
        try:
            if line in _HELPS:
                echo(own(HELP))
            elif line == ":show":
                echo(str(current[0]))
            elif line.startswith(":"):
                current[0] = change(current[0], line, store)
            else:
                with nullcontext() if interactive else ending_at_once():
                    answers = [store.search(line, space=each, **current[0].search) for each in current[0].spaces(store)]
                print_result(answers, as_json=as_json, quiet=quiet)
        except KotovecError as error:
            echo(error_lines(str(error), as_typed(error.hint)), stderr=True)
            failed = True
        except KeyboardInterrupt:
            if not interactive:
                raise
            echo("error: interrupted", stderr=True)
    return failed


def _lines(store: "Store", current: list[Settings], interactive: bool) -> Iterator[str]:
    """Yield the lines that are typed, or those of stdin, without the empty ones."""
    for typed in _typed(store, current) if interactive else sys.stdin:
        line = as_utf8(typed).strip()  # in the locale C Python decodes nothing but ASCII
        if _COLON.match(line):  # an input method types ：ｋ　３ in full width
            name, space, value = unicodedata.normalize("NFKC", line).partition(" ")
            line = f"{name.lower()}{space}{value}"
        if line:
            yield _command(line)


def _command(line: str) -> str:
    """Return the command that a line stands for, or the line.

    `Exit` may be a token, EXIT ends; so does ｅｘｉｔ, which an input method types in full width.
    """
    form = unicodedata.normalize("NFKC", line)
    return _TYPED.get(form.lower() if form.isupper() else form, line)


def _typed(store: "Store", current: list[Settings]) -> Iterator[str]:
    from kotovec.cli.prompt import prompted

    for text in prompted(store, lambda: current[0]):
        yield from text.split("\n")
