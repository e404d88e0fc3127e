"""`kotovec verify`: recompute every checksum of a store."""

from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo
from kotovec.cli.lines import say
from kotovec.cli.options import ErrorsOnlyOption, JsonOption, StoreOption
from kotovec.text import escaped, json_line


def command(store: StoreOption = None, as_json: JsonOption = False, quiet: ErrorsOnlyOption = False) -> None:
    """Recompute every checksum; if anything is damaged, name it and exit with 1.

    Example: `kotovec verify --store demo.kotovec`
    """
    opened = open_store(store)
    damaged = opened.verify()
    if as_json:
        echo(json_line({"store": str(opened.path), "damaged": damaged}))
    if damaged:
        raise opened.damage(damaged)
    if not as_json and not quiet:
        say(f"{escaped(str(opened.path))} is complete: every checksum matches")
