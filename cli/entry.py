"""The entry of the console script: Ctrl-C is answered in one line from here on, 100 ms before typer is imported."""

import gc

from kotovec.cli.interrupts import leave_at_once

_OBJECTS = 50_000  # between two passes of the garbage collector: Python's 700 take 5 ms of a cold query's 220


def main() -> None:
    """Run the command line, as `kotovec.cli.app.main` does."""
    leave_at_once()
    gc.set_threshold(_OBJECTS)
    from kotovec.cli import app

    app.main()
