"""What is wrong with a command line, in kotovec's own words: Typer's usage errors, and options with one dash."""

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from kotovec.cli.arguments import ASKING, COMMANDS, NO_LIST, OF_LIST
from kotovec.errors import MOST_NEAR, InputError, choices, near_names, quoted
from kotovec.text import argument

_DASHES = "-−－‐‑–﹣—―ー"  # what is typed, or put in by a word processor, for the dashes of an option
# What people type for a command.
_MEANT = {
    "version": "kotovec --version",
    "environment": "kotovec help environment",
    **dict.fromkeys(("search", "find", "ask", "nearest", "similar", "neighbors", "neighbours"), "kotovec query"),
}
_KINDS = {"int": "whole number", "float": "number"}
_SAMPLES = {"int": 2, "float": 1.5}
_PATHS = ("FOLDER", "FILE", "MODEL")
# What other programs call an option, where the command has it.
_CALLED = {
    **dict.fromkeys(("--force", "-f", "--replace"), "--overwrite"),
    **dict.fromkeys(("-j", "--jobs", "--num-workers"), "--workers"),
    **dict.fromkeys(("--path", "--folder", "--dir", "--database", "--db"), "--store"),
    **dict.fromkeys(("-n", "--top", "--topk", "--top-k", "--limit", "--count"), "-k"),
}
_CALLED_OF_LIST = dict.fromkeys(("-k", "--top", "--topk", "--top-k", "--count"), "-n")
# What follows a dash in `-s`, `-K=3` and `-K3`; a word of one letter is subtracted as `- s`.
_LETTER = re.compile(r"([A-Za-z])(=.*|\d+)?", re.DOTALL)
# What an argument of a command is, and what it may be called by those who take it for an option.
_ARGUMENTS = {
    "model": ("model", ("model", "model-name", "model-id", "model-path", "name", "m")),
    "expression": ("expression", ("expression", "expressions", "expr", "query")),
    "terms": ("word", ("word", "words", "term", "terms", "expression")),
    "pattern": ("pattern", ("pattern", "search", "filter", "grep")),
    "stores": ("store", ("stores",)),
    "task": ("task", ("task", "evaluation")),
    "source": ("from", ("from", "source", "input", "in")),
    "target": ("to", ("to", "target", "output", "out", "o")),
    "files": ("file", ("file", "files", "data", "dataset")),
    "shell": ("shell", ("shell",)),
    "topic": ("command", ("command", "topic")),
}
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


def check_paths(tree: Any, arguments: Sequence[str]) -> None:
    """Refuse an empty path, which would be the working directory: a variable of the shell was not set.

    Args:
        tree: the group of the commands.
        arguments: the command line.

    Raises:
        InputError: the value of an option that names a file or a folder is empty.
    """
    command = tree.commands.get(arguments[0], tree)
    paths = {name for parameter in command.params if parameter.type.name == "path" for name in parameter.opts}
    for before, word in pairwise(arguments):
        if word == "--":
            return
        if (before in paths and word == "") or (word.endswith("=") and word[:-1] in paths):
            option = before if word == "" else word[:-1]
            raise InputError(f"{option} names nothing", hint="name a file or a folder, or leave it out")


def check_dashes(tree: Any, arguments: Sequence[str]) -> None:
    """Refuse `-json`, `—json` and `-s`, which would be read as a subtraction.

    The first two only where `--json` is an option of the command; a single letter in any case, as it is more often a
    wrong short option than a word that is subtracted, which can be written as `- s`.

    Args:
        tree: the group of the commands.
        arguments: the command line.

    Raises:
        InputError: an argument is an option with one dash, or a letter that is none; the hint names the option.
    """
    command = tree.commands.get(arguments[0], tree)
    options = {name: parameter for parameter in command.params for name in parameter.opts} | {"--help": None}
    for before, word in pairwise(["", *arguments]):
        if word == "--":
            return
        name = word.partition("=")[0]
        meant = f"--{name.lstrip(_DASHES)}"
        if arguments[0] in ASKING and not _takes_value(options, before):
            _check_letter(word, command)
        if name.startswith("--") or name[:1] not in _DASHES or meant not in options or _takes_value(options, before):
            continue
        hint = f"use {quoted(meant)}"
        if arguments[0] in ASKING:
            hint += f"; for a subtraction, write {quoted(f'- {meant[2:]}')}"
        raise InputError(f"{quoted(name)} is not an option", hint=hint)


def _check_letter(word: str, command: Any) -> None:
    """Refuse `-s`, `-K=3` and `-K3` where the command has no such option; `-B2` is a word.

    Raises:
        InputError: it has none; the hint names one, and how to write a subtraction.
    """
    dash, text = word[:1], word[1:]
    found = _LETTER.fullmatch(text) if dash and dash in _DASHES else None
    if found is None:
        return
    short, known = f"-{found[1]}", {"-h", *(name for each in command.params for name in each.opts)}
    is_known = short in known or _CALLED.get(short) in known
    if is_known if dash == "-" else not is_known:  # of other dashes, － joins words more often than options
        return
    hint = f"use {quoted(short)}" if short in known else _of_letter(found[1], command.params)
    if found[2] and not found[2].startswith("=") and hint != "use `-k`":
        return
    hint = hint or f"see {quoted(f'kotovec {command.name} --help')}"
    subtraction = quoted(f"- {text}")
    raise InputError(
        f"unknown option {quoted(dash + found[1])}", hint=f"{hint}; for a subtraction, write {subtraction}"
    )


def _of_letter(letter: str, parameters: Sequence[Any]) -> str | None:
    """Return the hint to the options that a letter may stand for: `-k` for K, `--store` for s; None without one."""
    names = ["-h", *(name for each in parameters if each.param_type_name == "option" for name in each.opts)]
    for other in (f"-{letter.swapcase()}", _CALLED.get(f"-{letter.lower()}")):
        if other in names:
            return f"use {quoted(other)}"
    long = [name for name in names if name.startswith(f"--{letter.lower()}")]
    long = ["--store"] if "--store" in long else long[:MOST_NEAR]
    return f"use {choices(long)}" if long else None


def _takes_value(options: dict[str, Any], name: str) -> bool:
    parameter = options.get(name)
    return parameter is not None and not getattr(parameter, "is_flag", False)


def explain_usage(error: Any, tree: Any, arguments: Sequence[str]) -> tuple[str, str]:
    """Return what is wrong with a command line, and the hint.

    Args:
        error: Typer's usage error.
        tree: the group of the commands.
        arguments: the command line.
    """
    name = f"kotovec {arguments[0]}" if arguments[0] in COMMANDS else "kotovec"
    parameters, see = tree.commands.get(arguments[0], tree).params, f"see {quoted(f'{name} --help')}"
    if hasattr(error, "possibilities"):
        return _unknown_option(error, parameters, arguments, see)
    if hasattr(error, "option_name"):
        return _half_option(error, parameters, see)
    if hasattr(error, "param"):
        return _wrong_parameter(error, see)
    message = error.format_message()
    if found := re.search(r"No such command '(.*?)'\.(?: Did you mean|$)", message, re.DOTALL):
        # Click writes it as Python does, with escapes that are others than ours.
        name = next((word for word in arguments if repr(word)[1:-1] == found[1]), found[1])
        return f"unknown command {quoted(name)}", _meant(name)
    if found := re.search(r"unexpected extra argument(?:s|\(s\))? \((.*)\)", message, re.DOTALL):
        hint = _of_store(parameters, name, found[1]) or valued_flag(tree, arguments) or _of_corpus(arguments)
        return f"unexpected argument {quoted(found[1])}", hint or see
    return _in_house_style(message), see


def _of_corpus(arguments: Sequence[str]) -> str | None:
    """Return the hint for files that a shell made of a pattern."""
    return "put a pattern in quotes: --corpus 'FOLDER/*.txt'" if "--corpus" in arguments else None


def _in_house_style(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(".")


def wrong_value(message: str) -> tuple[str, str] | None:
    """Return the value that Typer's message says is of the wrong kind, and the kind: int, float or boolean."""
    found = re.match(r"'(.*)' is not a valid (int|float|bool)", message, re.DOTALL)
    return None if found is None else (found[1], found[2])


def wrong_kind(name: str, value: str, kind: str) -> str:
    """Return the sentence about a value of the wrong kind: `KOTOVEC_K is abc, not a whole number`."""
    return f"{name} is {quoted(value)}, {f'not a {_KINDS[kind]}' if kind in _KINDS else 'neither true nor false'}"


def valued_flag(tree: Any, arguments: Sequence[str]) -> str | None:
    """Return the hint where a flag is followed by `true` or the like, which is read as a word; None elsewhere."""
    command = tree.commands.get(arguments[0], tree)
    flags = {name for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
    for before, value in pairwise(arguments):
        if before in flags and value.lower() in (*_TRUE, *_FALSE):
            out = value if value.lower() in _TRUE else f"{before} {value}"
            return f"leave out {quoted(out)}: {before} takes no value"
    return None


_OF_STORES = ("report", "coverage", "convert")  # commands that take stores without --store


def stray_store(arguments: Sequence[str]) -> str | None:
    """Return the hint where a store stands among the words of an expression, without --store; None elsewhere."""
    if arguments[0] in _OF_STORES:
        return None
    words = (word for before, word in pairwise(arguments) if before != "--store")
    found = next((word for word in words if word.rstrip("/").endswith(".kotovec") and Path(word).is_dir()), None)
    return None if found is None else f"name a store with --store: {quoted(f'--store {argument(found)}')}"


def name_variable(tree: Any, arguments: Sequence[str], message: str, hint: str | None) -> str | None:
    """Return the hint of an error; where the value at fault comes from the environment, it names the variable."""
    command = tree.commands.get(arguments[0])
    for parameter in () if command is None else command.params:
        if any(each.partition("=")[0] in parameter.opts for each in arguments):
            continue
        variable = _variable(parameter)
        if variable is None or (parameter.param_type_name == "argument" and os.environ[variable] in arguments):
            continue
        if _is_about(message, parameter, os.environ[variable]) or _is_named(parameter, hint):
            return f"{hint} ({variable} is set)" if hint else f"set {variable} to another value, or unset it"
    return hint


def _is_about(message: str, parameter: Any, value: str) -> bool:
    names = (f"{name.lstrip('-')} is {value}" for name in parameter.opts)
    if quoted(value) in message or message.startswith(f"{value} is ") or any(name in message for name in names):
        return True
    return parameter.metavar in _PATHS and re.search(rf"(?<![\w./]){re.escape(value)}(?![\w/])", message) is not None


def _is_named(parameter: Any, hint: str | None) -> bool:
    """Return whether a hint says to give an option another value: `use --device cpu`."""
    return any(hint is not None and re.match(rf"use {name}(?![\w-])", hint) for name in parameter.opts)


def _variable(parameter: Any) -> str | None:
    """Return the environment variable that sets an option, or None."""
    names = [parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or []
    return next((name for name in names if os.environ.get(name)), None)


def _written(parameter: Any) -> str:
    return str(parameter.metavar) if parameter.param_type_name == "argument" else max(parameter.opts, key=len)


def _unknown_option(error: Any, parameters: Sequence[Any], arguments: Sequence[str], see: str) -> tuple[str, str]:
    name = error.option_name
    if not name.startswith("--"):  # of `-josn`, Typer names `-j`
        name = next((each for each in arguments if each.startswith(name)), name)
    if arguments[0] == "submit" and name in OF_LIST:
        return NO_LIST, f"leave out {quoted(name)}, or use `kotovec build`"
    known = [option.lstrip("-") for parameter in parameters for option in parameter.opts if option.startswith("--")]
    known.append("help")
    if hint := _of_argument(name, parameters, arguments):
        return f"unknown option {quoted(name.partition('=')[0])}", hint
    short = f"-{name.lstrip('-')}"
    called = (each.get(name) for each in (_CALLED, _CALLED_OF_LIST))
    if meant := next((each for each in called if any(each in parameter.opts for parameter in parameters)), None):
        hint = f"use {quoted(meant)}"
    elif any(short in parameter.opts for parameter in parameters):
        hint = f"use {quoted(short)}"
    elif re.fullmatch("-[A-Za-z]", name) and (found := _of_letter(name[1], parameters)):
        hint = found
    elif near := near_names(name.lstrip("-"), known):
        hint = f"use {choices(f'--{each}' for each in near)}"
    elif arguments[0] not in COMMANDS and (command := next((each for each in arguments if each in COMMANDS), None)):
        hint = f"write options after the command: {quoted(f'kotovec {command} {name}')}"
    else:
        hint = see
    return f"unknown option {quoted(name)}", hint


def _of_argument(name: str, parameters: Sequence[Any], arguments: Sequence[str]) -> str | None:
    """Return the hint where an argument is given as an option, such as `build --model demo`; None elsewhere."""
    for each in parameters:
        noun, names = _ARGUMENTS.get(each.name, ("", ())) if each.param_type_name == "argument" else ("", ())
        if name.lstrip("-") not in names:
            continue
        rest = iter(arguments)
        typed = next((word for word in rest if word.partition("=")[0] == name), name)
        value = typed.partition("=")[2] or next(rest, "")
        shown = argument(value) if value and not value.startswith("-") else each.metavar
        return f"the {noun} is an argument: {quoted(f'kotovec {arguments[0]} {shown}')}"
    return None


def _meant(name: str) -> str:
    if name in _MEANT:
        return f"use {quoted(_MEANT[name])}"
    if near := near_names(name, COMMANDS):
        return f"use {choices(near)}"
    return f"ask for words with {quoted('kotovec query')}, or see {quoted('kotovec --help')}"


def _of_store(parameters: Sequence[Any], command: str, extra: str) -> str | None:
    """Return the hint to a store that is named without --store, or None."""
    has_store = any("--store" in parameter.opts for parameter in parameters)
    if not has_store or not extra.rstrip("/").endswith(".kotovec"):
        return None
    return f"name a store with --store: {quoted(f'{command} --store {extra}')}"


def _half_option(error: Any, parameters: Sequence[Any], see: str) -> tuple[str, str]:
    """Explain an option without its value, or a flag with one."""
    name = error.option_name
    parameter = next((each for each in parameters if name in each.opts), None)
    if "does not take a value" in error.message:
        return f"{name} takes no value", f"write {quoted(name)} alone"
    if parameter is None or not parameter.metavar:
        return f"{name} needs a value", see
    values = parameter.metavar.split("|")
    is_choice = len(values) > 1 and "…" not in parameter.metavar
    return (
        f"{name} needs a value",
        f"choose {choices(values)}" if is_choice else f"write {quoted(f'{name} {parameter.metavar}')}",
    )


def _wrong_parameter(error: Any, see: str) -> tuple[str, str]:
    """Explain a value of the wrong kind, of an option or of its environment variable; or a missing argument."""
    parameter = error.param
    if hasattr(error, "param_type") and parameter is not None:
        return f"{_written(parameter)} is missing", see
    wrong = wrong_value(error.message)
    if wrong is None or parameter is None:
        return _in_house_style(error.message), see
    value, kind = wrong
    source = error.ctx.get_parameter_source(parameter.name)
    variable = _variable(parameter) if source is not None and source.name == "ENVIRONMENT" else None
    article = f"a {_KINDS[kind]}" if kind in _KINDS else "1 or 0"
    if variable:
        return wrong_kind(variable, value, kind), f"set it to {article}, or unset it"
    name = _written(parameter)
    default = parameter.default if isinstance(parameter.default, int | float) else _SAMPLES.get(kind, 1)
    return wrong_kind(name, value, kind), f"give {article}, such as {quoted(f'{name} {default}')}"
