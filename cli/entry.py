"""The entry of the console script: Ctrl-C is answered in one line from here on, 100 ms before typer is imported."""

from kotovec.cli.interrupts import leave_at_once


def main() -> None:
    """Run the command line, as `kotovec.cli.app.main` does."""
    leave_at_once()
    from kotovec.cli import app

    app.main()
