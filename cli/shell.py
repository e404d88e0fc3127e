"""`kotovec shell`: the store stays in memory, and expressions are answered line by line."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kotovec.cli.chosen import AmbientLayer, find_store, read_spaces
from kotovec.cli.interrupts import ending_at_once
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
    WordsOption,
)
from kotovec.cli.query import print_result
from kotovec.cli.tables import error_lines
from kotovec.errors import InputError, KotovecError, quoted
from kotovec.space import parse_spaces, resolve
from kotovec.text import escaped, is_restless

if TYPE_CHECKING:
    from kotovec.store import Store

HELP = """Type an expression, such as  王 - 男 + 女  (Tab completes tokens), or
  :space static|isolated|both|static,isolated@6   :layer N   :metric l2|cosine|ip   :k N
  :exclude-inputs on|off   :unit-terms on|off   :words-only on|off   :exact on|off
  :script Han,Hiragana,Katakana (all: any script)
  :show   the settings     :help     :quit (or Ctrl-D)"""
_SIGNS = " +-*()＋－−＊（）"


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = None,
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
    from kotovec.store import Store

    opened = Store.open(find_store(store))
    settings: dict[str, Any] = {
        "space": space,
        "layer": AmbientLayer(-1 if layer is None else layer),
        "metric": metric,
        "k": k,
        "exclude_inputs": exclude_inputs,
        "unit_terms": unit_terms,
        "words_only": words_only,
        "script": script,
        "exact": exact,
        "device": device,
    }
    failed = False
    interactive = sys.stdin.isatty()
    if interactive and not quiet:
        typer.echo(
            f"{escaped(str(opened.path))}: {len(opened.tokens):,} tokens. :help says what can be typed.", err=True
        )
    for line in _lines(opened, interactive):
        try:
            if line.startswith(":"):
                if line in (":quit", ":q"):
                    break
                _change(settings, line)
            else:
                spaces = resolve(read_spaces(settings["space"], settings["layer"]), opened.spaces)
                options = {name: value for name, value in settings.items() if name not in ("space", "layer")}
                with ending_at_once():
                    answers = [opened.search(line, space=each, **options) for each in spaces]
                print_result(answers, as_json=as_json, quiet=quiet)
        except KotovecError as error:
            typer.echo(error_lines(str(error), error.hint), err=True)
            failed = True
    if failed and not interactive:
        raise typer.Exit(InputError.exit_code)


def _change(settings: dict[str, Any], line: str) -> None:
    """Execute a line that begins with a colon.

    Raises:
        InputError: the setting is unknown, or the value does not fit.
    """
    name, _, value = line[1:].partition(" ")
    key, value = name.replace("-", "_"), value.strip()
    if name == "help":
        typer.echo(HELP)
    elif name == "show":
        for key, value in settings.items():
            shown = ("off", "on")[value] if isinstance(value, bool) else value or "all"
            typer.echo(f"{key.replace('_', '-')} {shown}")
    elif key not in settings:
        raise InputError(f"unknown setting {quoted(f':{name}')}", hint="type :help for a list")
    elif isinstance(settings[key], bool):
        if value not in ("on", "off"):
            raise InputError(f":{name} is on or off, not {quoted(value)}")
        settings[key] = value == "on"
    elif isinstance(settings[key], int):
        try:
            settings[key] = type(settings[key])(value)
        except ValueError as error:
            raise InputError(f":{name} is a number, not {quoted(value)}") from error
    else:
        settings[key] = _read(key, value)


def _read(key: str, value: str) -> str | None:
    """Return the value of a setting that is a text; all scripts are None.

    Raises:
        InputError: a space or a script is unknown.
    """
    from kotovec.store.scripts import parse_scripts

    if key == "script":
        return None if value == "all" else ",".join(sorted(parse_scripts(value)))
    if key == "space":
        parse_spaces(value)
    return value


def _lines(store: "Store", interactive: bool) -> Iterator[str]:
    """Yield the lines that are typed, or those of stdin, without the empty ones."""
    for line in _prompted(store) if interactive else sys.stdin:
        if line.strip():
            yield line.strip()


def _prompted(store: "Store") -> Iterator[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    tokens = sorted(surface for surface in store.tokens.surfaces if surface and not is_restless(surface))

    class Tokens(Completer):
        """Completes the term under the cursor with the tokens that begin with it."""

        def get_completions(self, document: Any, _event: Any) -> Iterator[Completion]:
            from bisect import bisect_left

            text = document.text_before_cursor
            start = max(text.rfind(char) for char in _SIGNS) + 1
            begun = text[start:]
            index = bisect_left(tokens, begun) if begun else len(tokens)
            while index < len(tokens) and tokens[index].startswith(begun):
                yield Completion(tokens[index], start_position=-len(begun))
                index += 1

    path = _history()
    history = FileHistory(str(path)) if path else InMemoryHistory()
    session: PromptSession[str] = PromptSession(history=history, completer=Tokens(), complete_while_typing=False)
    while True:
        try:
            yield session.prompt("kotovec> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history() -> Path | None:
    """Return the file of the history (KOTOVEC_HISTORY, else the state folder), or None if it cannot be written."""
    named = os.environ.get("KOTOVEC_HISTORY")
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        path = Path(named) if named else Path(state).expanduser() / "kotovec" / "history"
        if path.exists() and not path.is_file():  # a pipe would wait for a reader
            return None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except (OSError, RuntimeError):  # a user that the machine does not know has no home
        return None
    return path
