"""Write docs/cli.md: the help of every command, as the command line prints it.

python docs/generate_cli.py [--print]
"""

import contextlib
import io
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTH = 100
HEAD = """# The command line

What `kotovec COMMAND --help` prints; made by `python docs/generate_cli.py`. Results go to stdout, everything else to
stderr. Exit codes: 0 done, 1 honest failure, 2 bad input, 130 interrupted. An option on the command line overrules
its environment variable. `KOTOVEC_DEBUG=1` shows a traceback with an error, and `KOTOVEC_HISTORY` names the file in
which `kotovec shell` keeps its history.
"""


def main() -> None:
    """Write the page, or print it."""
    page = make_page()
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page)
    else:
        (FOLDER / "cli.md").write_text(page, encoding="utf-8")


def make_page() -> str:
    """Return the page: plain, and equally wide on every terminal."""
    for name in [name for name in os.environ if name.startswith("KOTOVEC_")]:
        del os.environ[name]  # --help shows what the environment sets as defaults
    os.environ.update(COLUMNS=str(WIDTH), TERM="dumb", NO_COLOR="1", PYTHONIOENCODING="utf-8")
    sys.path.insert(0, str(FOLDER.parent))
    from kotovec.cli.app import COMMANDS

    parts = [HEAD, section("kotovec", []), *(section(f"kotovec {name}", [name]) for name in COMMANDS)]
    return "\n".join(parts)


def section(title: str, arguments: list[str]) -> str:
    """Return the help of a command under its name."""
    from kotovec.cli.app import run

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run([*arguments, "--help"])
    lines = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    main()
