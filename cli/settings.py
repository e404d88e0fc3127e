"""The settings of `kotovec shell`: what a line that begins with a colon changes, refused at once if it cannot be."""

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from kotovec.cli.chosen import AmbientLayer, ask_spaces
from kotovec.errors import InputError, choices, near_names, quoted
from kotovec.space import Space, parse_spaces, resolve

if TYPE_CHECKING:
    from kotovec.store import Store

HELP = """\
Type an expression: king - man + woman
Tab completes tokens and settings:
  :space static,isolated@6 (or both)
  :layer N
  :in output (off: the space itself)
  :metric l2|cosine|ip|csls
  :k N
  :exclude-inputs on|off
  :unit-terms on|off
  :words-only on|off
  :exact on|off
  :script Han,Hiragana (all: any)
  :device auto|cpu|cuda
  :show    show the settings
  :help    this text (or help)
  :quit    end (or quit, exit, Ctrl-D)
In quotes, "help" is a word."""
UNSET = {"within": "off", "script": "all"}  # how no value is written


@dataclass(frozen=True)
class Settings:
    """How the shell answers; every field has the name of its option, but `within`, as `in` is a word of Python."""

    space: str
    layer: AmbientLayer
    metric: str
    k: int
    exclude_inputs: bool
    unit_terms: bool
    words_only: bool
    script: str | None
    exact: bool
    device: str
    within: str | None

    def __str__(self) -> str:
        lines = []
        for field in fields(self):
            value = getattr(self, field.name)
            shown = ("off", "on")[value] if isinstance(value, bool) else UNSET[field.name] if value is None else value
            lines.append(f"{_typed(field.name)} {shown}")
        return "\n".join(lines)

    @property
    def search(self) -> dict[str, Any]:
        """The arguments of `Store.search`, without the space."""
        return {field.name: getattr(self, field.name) for field in fields(self)[2:]}

    def spaces(self, store: "Store") -> tuple[Space, ...]:
        """Return the spaces that are asked.

        Raises:
            InputError: a space is unknown, or not in the store.
        """
        return ask_spaces(self.space, self.layer, store.spaces)

    def check(self, store: "Store") -> None:
        """Check that the settings can answer anything.

        Raises:
            InputError: a value is unknown, or not in the store.
        """
        from kotovec.store import lens
        from kotovec.store.library import check_device, check_gpus
        from kotovec.store.metric import Metric
        from kotovec.store.scripts import parse_scripts

        for space in self.spaces(store):
            lens.look(store.vectors, store.space(space), space, self.within)
        if Metric.parse(self.metric).is_distance and self.unit_terms:
            raise InputError("unit terms mean nothing with l2", hint="use them with `cosine` or `ip`")
        if not 1 <= self.k <= len(store):
            raise InputError(f"k is {self.k}", hint=f"choose a number from 1 to {len(store)}")
        check_device(self.device)
        if self.device == "cuda":  # or every question would fail
            check_gpus()
        if self.script is not None:
            parse_scripts(self.script)


def _typed(name: str) -> str:
    """Return the name of a setting as it is typed."""
    return "in" if name == "within" else name.replace("_", "-")


FIELDS = {_typed(field.name): field.name for field in fields(Settings)}
NAMES = tuple(FIELDS)
SWITCHES = tuple(_typed(field.name) for field in fields(Settings) if field.type is bool)
_OPTION = re.compile(rf"(?<![\w-])--({'|'.join(NAMES)})(?![\w-])")
_SAMPLES = {
    "space": "both",
    "layer": "-1",
    "metric": "cosine",
    "k": "20",
    "script": "Han",
    "device": "cpu",
    "in": "static",
}


def as_typed(hint: str | None) -> str | None:
    """Return a hint with the settings of the shell in place of the options of commands: `:device cpu`."""
    return None if hint is None else _OPTION.sub(r":\1", hint)


def change(settings: Settings, line: str, store: "Store") -> Settings:
    """Return the settings after a line that begins with a colon, such as `:metric cosine`.

    Raises:
        InputError: the setting is unknown, or the store has no such value.
    """
    name, _, value = line[1:].partition(" ")
    value = value.strip() if name == "script" else value.strip().lower()  # scripts have capitals
    if name not in NAMES:
        near = near_names(name, NAMES)
        hint = f"use {choices(f':{each}' for each in near)}" if near else "type :help for a list"
        raise InputError(f"unknown setting {quoted(f':{name}')}", hint=hint)
    key = FIELDS[name]
    if not value:
        sample = quoted(f":{name} {_SAMPLES.get(name, 'on')}")
        raise InputError(f":{name} needs a value", hint=f"write {sample}, or :show for the current ones")
    changed = replace(settings, **{key: _read(name, value, getattr(settings, key))})
    changed.check(store)
    if key == "layer":  # also while only a space without layers is asked
        layered = [space for space in parse_spaces(changed.space) if space.layer is not None] or [Space("isolated")]
        resolve([space.at(changed.layer) for space in layered], store.spaces)
    return changed


def _read(name: str, value: str, before: Any) -> Any:
    """Return a value as its setting takes it.

    Raises:
        InputError: it is neither on nor off, or not a number.
    """
    sample = f":{name} {_SAMPLES.get(name, 'on')}"
    hint = f"write {quoted(sample)}"
    if isinstance(before, bool):
        if value not in ("on", "off"):
            raise InputError(f":{name} is on or off, not {quoted(value)}", hint=f"{hint} or {quoted(f':{name} off')}")
        return value == "on"
    if isinstance(before, int):
        try:
            return type(before)(value)
        except ValueError as error:
            raise InputError(f":{name} is a number, not {quoted(value)}", hint=hint) from error
    if value == UNSET.get(FIELDS[name]):
        return None
    if name == "script":
        from kotovec.store.scripts import parse_scripts

        return ",".join(sorted(parse_scripts(value)))
    return value
