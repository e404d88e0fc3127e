"""What a command line may hold: the names of the commands, and expressions that begin with a minus."""

import re
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Any

from kotovec.text import argument

COMMANDS = (
    *(
        "build",
        "submit",
        "query",
        "shell",
        "norms",
        "contexts",
        "tokens",
        "audit",
        "coverage",
        "evaluate",
        "geometry",
        "hubs",
        "neighbours",
        "transform",
        "convert",
        "report",
        "index",
        "map",
        "info",
        "verify",
    ),
    *("completion", "help"),
)
ASKING = ("query", "norms")  # whose arguments are expressions
NO_LIST = "a job takes no list of words: it does not see files of this machine"
OF_LIST = ("--words", "--words-column", "--pooling")  # options of a list
ASKS = "_KOTOVEC_COMPLETE"  # the variable that a shell sets on Tab, and Click reads
_PATHS = (
    "--store",
    "--file",
    "--config",
    "--fetch",
    "--png",
    "--html",
    "--parquet",
    "--charset",
    "--text",
    "--details",
    "--out",
)
# What a note or a hint says to write in quotes: `write "e-mail", with its quotes`.
_QUOTED = re.compile(r'(\bwrite|\bin quotes:|\bbelong together:) ("[^"]+")(?:, with its quotes)?')


def in_shell(text: str) -> str:
    """Return a note or a hint as it holds on a command line, whose shell takes a pair of quotes: `write '"e-mail"'`."""
    return _QUOTED.sub(lambda found: f"{found[1]} {argument(found[2])}", text)


def joined_lists(parameters: Sequence[Any], arguments: Sequence[str]) -> list[str]:
    """Return a command line on which an option that takes a list stands once: `--space a --space b` names two.

    Of any other option that is given twice, the last value counts.

    Args:
        parameters: the arguments and options of the command; a list is one whose metavar ends in `,…`.
        arguments: the command line.
    """
    options = {name: parameter for parameter in parameters for name in parameter.opts if name.startswith("-")}
    lists = {name for name, parameter in options.items() if (parameter.metavar or "").endswith(",…")}
    kept: list[str] = []
    first: dict[str, int] = {}  # where the value of a list stands among those that are kept
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            return [*kept, word, *words]
        taking = name in options and not equals and not getattr(options[name], "is_flag", False)
        if name not in lists:
            kept += [word, *islice(words, 1)] if taking else [word]
            continue
        values = [value] if equals else list(islice(words, 1))
        if not values:  # Click says that it is missing
            kept.append(word)
        elif name in first:
            kept[first[name]] += f",{values[0]}"
        else:
            kept.append(f"{name}={values[0]}")
            first[name] = len(kept) - 1
    return kept


def shield_minus(arguments: list[str]) -> list[str]:
    """Put a space before what looks like an option and is none, so that an expression can begin with a minus.

    `kotovec query "-男 + 王"` works; `--typo`, `-k5`, a path after its option, and the arguments of commands that take
    no expressions are left as they are. `usage.check_dashes` has refused `-json`.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    # Of `-k=3`, Click would read `=3` as the number.
    arguments = [re.sub(r"^-([kn])=(?=\d+$)", r"-\1", each) for each in arguments[:end]] + arguments[end:]
    if not arguments or arguments[0] not in ASKING:
        return arguments
    options = {"-h", "-k", "-n", "-q", "-V", "-"}
    return [
        f" {word}"
        if re.match(r"-[^-]", word)
        and word not in options
        and before not in _PATHS
        and not re.fullmatch(r"-[kn]=?\d+", word)
        else word
        for before, word in pairwise(["", *arguments])
    ]
