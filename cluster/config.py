"""The options of kotovec in a launch file, under `metadata: kotovec:`, the only key that Ray's schema leaves free."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from kotovec.errors import InputError, choices, first_line, near_names, quoted

SECTION = ("metadata", "kotovec")


def read_config(path: Path, names: Collection[str], repeated: Collection[str] = ()) -> dict[str, str | list[str]]:
    """Return the options in a launch file by their names, each as it would be typed on the command line.

    Values stay text, so that `workers: 2.5` is refused here as it is on the command line. A key without a value
    counts as absent.

    Args:
        path: path of a YAML file, such as `ray_config.yaml`.
        names: names of the known options, without their dashes.
        repeated: those of them that take a list; one value is a list of one.

    Raises:
        InputError: the file cannot be read, has no options for kotovec, or names an unknown option.
    """
    section = _load(path)
    for name in SECTION:
        section = section.get(name) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        where = ": ".join(SECTION)
        raise InputError(f"--config {path} has no options for kotovec", hint=f"write them under `{where}:`")
    options: dict[str, str | list[str]] = {}
    for key, value in section.items():
        if key not in names:
            near = near_names(str(key), names)
            hint = f"use {choices(near)}" if near else f"choose {choices(sorted(names))}"
            raise InputError(f"--config {path}: kotovec build has no option {quoted(key)}", hint=hint)
        if key in repeated and value is not None:
            options[key] = [str(each) for each in (value if isinstance(value, list) else [value])]
            continue
        if isinstance(value, list | dict):
            raise InputError(
                f"--config {path}: {key} is not one value", hint="give one, as on the command line, such as `0,1,12`"
            )
        if value is not None:
            options[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return options


def _load(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_bytes())
    except OSError as error:
        hint = "give the launch file of a cluster, such as `ray_config.yaml`"
        raise InputError(f"--config {path} cannot be read: {error.strerror}", hint=hint) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or first_line(error)
        problem = f"--config {path}{line} is not YAML: {reason}"
        raise InputError(problem, hint="check that line, or leave out --config") from error
