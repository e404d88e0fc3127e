"""The prompt of `kotovec shell` on a terminal: history, completion by rank, and a toolbar with the settings."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from kotovec.cli.complete import listed, named_spaces
from kotovec.cli.settings import NAMES, SWITCHES, Settings
from kotovec.store.beginnings import Beginnings
from kotovec.store.expression import SIGNS
from kotovec.text import escaped, is_restless

if TYPE_CHECKING:
    from kotovec.store import Store

MOST = 500  # tokens that Tab offers: those of one letter can be a tenth of a vocabulary
COMMANDS = (*(f":{name}" for name in NAMES), ":show", ":help", ":quit")


def prompted(store: "Store", current: Callable[[], Settings]) -> Iterator[str]:
    """Yield what is typed or pasted, until Ctrl-D; a paste may have several lines.

    Args:
        store: the store that answers.
        current: returns the settings, which the toolbar shows.
    """
    path = _history()
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(path)) if path else InMemoryHistory(),
        completer=Words(store),
        complete_while_typing=False,
        bottom_toolbar=lambda: toolbar(store, current()),
    )
    while True:
        try:
            yield session.prompt("kotovec> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def toolbar(store: "Store", settings: Settings) -> str:
    """Return the settings in short: the spaces, the one they are looked up in, metric, k, and what is on."""
    named = (space.at(store.space(space).layer) if space.layer == -1 else space for space in settings.spaces(store))
    spaces = " | ".join(map(str, named)) + (f" in {settings.within}" if settings.within else "")
    switches = (name for name in SWITCHES if getattr(settings, name.replace("-", "_")))
    return escaped("  ".join(filter(None, (spaces, settings.metric, f"k {settings.k}", *switches, settings.script))))


class Words(Completer):
    """Completes the term under the cursor with tokens by rank, and a line that begins with a colon with settings."""

    def __init__(self, store: "Store") -> None:
        self._beginnings = Beginnings(store.tokens)
        self._values = _values(store)

    def get_completions(self, document: Document, _event: Any) -> Iterable[Completion]:
        """Yield what the text before the cursor may be the beginning of."""
        text = document.current_line_before_cursor
        if text.startswith((":", "：")):
            yield from self._of_setting(unicodedata.normalize("NFKC", text))
            return
        begun = text[max(map(text.rfind, f" {SIGNS}")) + 1 :]
        found = (token for token in self._beginnings.complete(begun) if not is_restless(token))
        for token in islice(found, MOST):
            yield Completion(token, start_position=-len(begun))

    def _of_setting(self, text: str) -> Iterator[Completion]:
        name, space, value = text.partition(" ")
        if not space:
            offered = [each for each in COMMANDS if each.startswith(text)]
            value = text
        elif name in (":space", ":script"):
            offered = listed(self._values[name[1:]], value)
        else:
            offered = [each for each in self._values.get(name[1:], []) if each.startswith(value)]
        for each in offered:
            yield Completion(each, start_position=-len(value))


def _values(store: "Store") -> dict[str, list[str]]:
    """Return the values of each setting that has a list of them."""
    from kotovec.store.library import DEVICES
    from kotovec.store.metric import Metric
    from kotovec.store.scripts import SCRIPTS

    return {
        "space": named_spaces(store),
        "layer": [*map(str, store.layers), "-1"],
        "in": [*map(str, store.spaces), *map(str, getattr(store.spaces, "tied", ())), "off"],
        "metric": [*map(str, Metric)],
        "script": [*SCRIPTS, "all"],
        "device": list(DEVICES),
        **{name: ["on", "off"] for name in SWITCHES},
    }


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
