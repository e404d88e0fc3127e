"""`kotovec completion`: the script by which bash, zsh or fish asks kotovec what Tab may offer."""

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from typing import Any, ClassVar

from typer._click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from kotovec.cli.arguments import ASKS, COMMANDS, shield_minus
from kotovec.cli.complete import ESCAPED, IN_QUOTES, with_backslashes
from kotovec.cli.encodings import echo
from kotovec.cli.options import QuietOption, ShellArgument
from kotovec.cli.tree import make_app
from kotovec.errors import InputError, KotovecError, choices, quoted

_WHOLE = 1000  # letters of a summary
_LINE, _BREAKS = "_KOTOVEC_LINE", "_KOTOVEC_BREAKS"

# `file` and `dir` are answered by the shell, and bash must not sort: the most frequent token comes first.
_BASH = f"""\
_kotovec_completion() {{
    local IFS=$'\\n' line kind value
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value _; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
        case $value in */) compopt -o nospace ;; esac
    done < <({_LINE}="${{COMP_LINE:0:COMP_POINT}}" {_BREAKS}="$COMP_WORDBREAKS" \\
             {ASKS}=bash_complete "$1" 2>/dev/null)
}}
complete -o nosort -F _kotovec_completion kotovec
"""
_ZSH = f"""\
#compdef kotovec
_kotovec_completion() {{
    local kind value text
    local -a values texts
    while IFS=$'\\t' read -r kind value text; do
        case $kind in
            plain) values+=("$value"); texts+=("${{value}}${{text:+ -- $text}}") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done < <({_LINE}="${{(j: :)words[1,CURRENT]}}" {ASKS}=zsh_complete "$words[1]" 2>/dev/null)
    (( $#values )) && compadd -V tokens -l -d texts -Q -U -a values
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit -i }}
compdef _kotovec_completion kotovec
"""
_FISH = f"""\
function _kotovec_completion
    set -l answer (env {_LINE}=(commandline -cp | string collect) {ASKS}=fish_complete kotovec 2>/dev/null)
    for line in $answer
        set -l parts (string split \\t -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain
                printf '%s\\t%s\\n' $parts[2] $parts[3]
        end
    end
end
complete --command kotovec --no-files --keep-order --arguments '(_kotovec_completion)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def command(
    shell: ShellArgument = None,
    quiet: QuietOption = False,  # noqa: ARG001 — the script is the result
) -> None:
    """Print the script that completes commands, options, stores, spaces and tokens in a shell.

    bash and zsh: eval "$(kotovec completion bash)" in ~/.bashrc; fish: kotovec completion fish | source.

    Example: `kotovec completion bash`
    """
    if shell not in SCRIPTS:
        problem = "no shell is named" if shell is None else f"unknown shell {quoted(shell)}"
        raise InputError(problem, hint=f"choose {choices(SCRIPTS)}")
    echo(SCRIPTS[shell].removesuffix("\n"))


def complete() -> None:
    """Answer a shell that asks by the environment: print a line per offer, `kind TAB value TAB help`."""
    from typer.main import get_command

    line, shell = os.environ.get(_LINE, ""), os.environ[ASKS].partition("_")[0]
    words = split_arg_string(line)
    names = words[1:2] if words[1:2] and words[1] in COMMANDS and words[2:] + [""][: line.endswith(" ")] else COMMANDS
    context = {"obj": IN_QUOTES if _has_open_quote(line) else None}
    asked = _Asked(get_command(make_app(names)), context, "kotovec", ASKS)
    with contextlib.suppress(KotovecError, OSError):  # a store that cannot be read offers nothing
        breaks = os.environ.get(_BREAKS, "") if shell == "bash" else None
        for offer in asked.offers(line, breaks, escaping=shell != "fish"):
            echo("\t".join(offer))


class _Asked(ShellComplete):
    """Click's completion, for all shells alike."""

    name: ClassVar[str] = "kotovec"

    def source_vars(self) -> dict[str, Any]:
        """Return nothing: the scripts are complete."""
        return {}

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return nothing: `offers` takes the line."""
        return [], ""

    def format_completion(self, item: CompletionItem) -> str:
        """Return the value alone."""
        return str(item.value)

    def offers(self, line: str, breaks: str | None, *, escaping: bool) -> Iterator[tuple[str, str, str]]:
        """Yield kind, value and help of everything that completes the last word of a line.

        Args:
            line: the command line up to the cursor.
            breaks: what bash takes for the beginning of a word, which the values must not repeat; None for shells that
                replace the whole word.
            escaping: whether the shell takes a value as it is; fish escapes it itself.
        """
        words, is_open = split_arg_string(line)[1:], _has_open_quote(line)
        if not is_open and line[-1:].isspace():
            words.append("")
        *before, last = words or [""]
        option = re.match(r"--[\w-]+=", last)
        cut = 0
        if breaks is not None and not is_open:
            # @ begins the name of a host: for bash, it is part of the word.
            # What a shell would act on is in the word only with a backslash, which bash does not break at.
            ends = [char for char in breaks if char in last and char not in ESCAPED]
            cut = max((last.rfind(char) + (char != "@") for char in ends), default=0)
        found = self.get_completions(shield_minus(before), last)
        # Click cuts the summary of a command at 45 letters.
        named = {} if before else getattr(self.cli, "commands", {})
        helps = {name: each.get_short_help_str(_WHOLE) for name, each in named.items()}
        for item in found:
            value = str(item.value)
            if option and not value.startswith("--"):
                value = option[0] + value
            summary = helps.get(value) or item.help or ""
            value = value[cut:] if is_open or not escaping else with_backslashes(value[cut:])
            yield "plain", value, " ".join(summary.split())
        if not found and (kind := self._path(words)):
            yield kind, last[cut:], ""

    def _path(self, words: list[str]) -> str | None:
        """Return `file` or `dir` if the last word is the path that an option takes: shells know more about paths."""
        *_, before, last = ["", *words]
        name = last.partition("=")[0] if "=" in last else before
        known: Any = self.cli
        parameters = known.commands[words[0]].params if words and words[0] in known.commands else ()
        metavar = next((parameter.metavar for parameter in parameters if name in parameter.opts), None)
        return {"FILE": "file", "FOLDER": "dir"}.get(str(metavar))


def _has_open_quote(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError:
        return True
    return False
