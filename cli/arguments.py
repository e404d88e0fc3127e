"""What a command line may hold: the names of the commands, and expressions that begin with a minus."""

import re
from itertools import pairwise

COMMANDS = (
    *("build", "submit", "query", "shell", "norms", "tokens", "audit", "coverage", "index", "map", "info", "verify"),
    *("completion", "help"),
)
ASKING = ("query", "norms")  # whose arguments are expressions
NO_LIST = "a job takes no list of words: it does not see files of this machine"
OF_LIST = ("--words", "--words-column", "--pooling")  # options of a list
ASKS = "_KOTOVEC_COMPLETE"  # the variable that a shell sets on Tab, and Click reads
_PATHS = ("--store", "--file", "--config", "--fetch", "--png", "--html", "--parquet", "--charset", "--text")


def shield_minus(arguments: list[str]) -> list[str]:
    """Put a space before what looks like an option and is none, so that an expression can begin with a minus.

    `kotovec query "-男 + 王"` works; `--typo`, `-k5`, a path after its option, and the arguments of commands that take
    no expressions are left as they are. `usage.check_dashes` has refused `-json`.
    """
    if not arguments or arguments[0] not in ASKING:
        return list(arguments)
    options = {"-h", "-k", "-n", "-q", "-V", "-"}
    return [
        f" {argument}"
        if re.match(r"-[^-]", argument)
        and argument not in options
        and before not in _PATHS
        and not re.fullmatch(r"-[kn]=?\d+", argument)
        else argument
        for before, argument in pairwise(["", *arguments])
    ]
