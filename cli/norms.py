"""`kotovec norms`: the norms of the vectors of some words."""

from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.options import JsonOption, QuietOption, StoreOption, WordsArgument
from kotovec.errors import InputError
from kotovec.text import json_line

MOST_COLUMNS = 4  # with more, each layer is a row and each word a column: a terminal has 80 characters per line


def command(
    terms: WordsArgument = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Print the L2 norm of each word's vector, in every space and layer of the store.

    Example: `kotovec norms 王 子 女 男`
    """
    if not terms:
        raise InputError("no word is given", hint="give some, such as `kotovec norms 王 子 女 男`")
    import numpy as np

    from kotovec.cli.tables import notice, print_grid, shown
    from kotovec.store.expression import Term

    opened = open_store(store)
    columns = opened.spaces
    rows = []
    for term in terms:
        with ending_at_once():
            read = opened.lookup.resolve(Term(term.strip() or term, 1.0, 0))
        parts = [opened.array(space)[list(read.rows)].astype(np.float64) for space in columns]
        norms = [float(np.linalg.norm(part.mean(axis=0))) for part in parts]
        rows.append((read, norms))
    if as_json:
        for read, norms in rows:
            data = {"term": read.text, "tokens": list(read.tokens)} | dict(zip(map(str, columns), norms, strict=True))
            echo(json_line(data))
        return
    names = [space.title for space in columns]
    if len(names) > MOST_COLUMNS:
        print_grid(
            ["norm of", *(shown(read.text) for read, _ in rows)],
            [[name, *(f"{norms[index]:.4f}" for _, norms in rows)] for index, name in enumerate(names)],
        )
    else:
        print_grid(
            ["term", "token", *names],
            [
                [shown(read.text), shown(" | ".join(read.tokens)), *(f"{norm:.4f}" for norm in norms)]
                for read, norms in rows
            ],
            left=2,
        )
    for read, _ in rows:
        if read.note:
            notice(f"note: {read.note}", quiet=quiet)
