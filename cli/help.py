"""`kotovec help`: the help of a command, and the environment variables of all."""

from kotovec.cli.arguments import COMMANDS
from kotovec.cli.encodings import echo
from kotovec.cli.layout import ENVIRONMENT
from kotovec.cli.lines import broken, columns, say
from kotovec.cli.options import QuietOption, TopicArgument
from kotovec.cli.tree import make_app
from kotovec.errors import InputError, choices, near_names, quoted

# What no option stands for.
VARIABLES = {
    "KOTOVEC_DEBUG": "1 shows a traceback with an error",
    "KOTOVEC_HISTORY": "file in which `kotovec shell` keeps its history",
    "NO_COLOR": "1 prints without colours",
}


def command(
    topic: TopicArgument = None,
    quiet: QuietOption = False,  # noqa: ARG001 — what it explains is the result
) -> None:
    """Explain a command, or all environment variables.

    Example: `kotovec help query`
    """
    if topic == ENVIRONMENT:
        _print_variables()
        return
    if topic is not None and topic not in COMMANDS:
        topics = (*COMMANDS, ENVIRONMENT)
        raise InputError(
            f"there is no help on {quoted(topic)}", hint=f"choose {choices(near_names(topic, topics) or topics)}"
        )
    names = COMMANDS if topic is None else [topic]
    make_app(names)(args=[*([topic] if topic else []), "--help"], prog_name="kotovec", standalone_mode=False)


def variables() -> dict[str, list[str]]:
    """Return every environment variable with what it sets: options and arguments, or what it does."""
    from typer.main import get_command

    found: dict[str, list[str]] = {}
    for each in get_command(make_app()).commands.values():  # type: ignore[attr-defined]  # of a group
        for parameter in each.params:
            names = parameter.envvar or []
            is_argument = parameter.param_type_name == "argument"
            written = parameter.human_readable_name if is_argument else max(parameter.opts, key=len)
            for name in [names] if isinstance(names, str) else names:
                shown = found.setdefault(name, [])
                if written not in shown:
                    shown.append(written)
    return dict(sorted(found.items())) | {name: [text] for name, text in VARIABLES.items()}


def _print_variables() -> None:
    say("An option on the command line overrides its variable; a flag is set by 1 or true.")
    say("Several corpora or files in one variable stand between blanks, several stores between colons.\n")
    rows, width = variables().items(), columns()
    longest = max(len(name) for name, _ in rows)
    for name, shown in rows:
        line = f"  {name:<{longest}}  {', '.join(shown)}"
        if width and len(line) > width:
            line = f"  {name}\n{broken(', '.join(shown), width, indent='      ')}"
        echo(line)
