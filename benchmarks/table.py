"""The tables of speed.md, map.md and convert.md in docs, made from benchmarks/results/*.json: no number is typed there.

    python benchmarks/table.py [--print]

What stands in a page between `<!-- results: NAME -->` and `<!-- end -->` is replaced by what NAME.json says.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from turns import RESULTS, ROOT, digits, ratio

PAGES = tuple(ROOT / "docs" / name for name in ("speed.md", "map.md", "convert.md"))
PART = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# Of some results only these numbers make the columns, under these heads; of all others every number does.
COLUMNS = {
    "encode": {"whole": "whole process, s", "encode": "encoding, s", "rate": "tokens/s"},
    "contexts": {"rate": "positions/s", "seconds": "CPU, s"},
    "tables": {"seconds": "whole process, s", "plan": "plan, s", "copy": "copying, s", "peak": "memory, MB"},
    "convert": {"size": "file, MB", "seconds": "whole process, s", "peak": "memory, MB"},
    "map": {"seconds": "whole process, s", "peak": "memory, MB"},
    "before_after": {
        "whole": "whole process, s",
        "encode": "encoding, s",
        "rate": "tokens/s",
        "peak": "memory, MB",
        "cold": "cold query, s",
    },
    "memory": {"peak": "all processes, MB", "workers": "workers alone, MB", "whole": "whole build, s"},
}


def main() -> int:
    """Write the pages, or print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="on stdout, and leave the pages as they are")
    options = parser.parse_args()
    for path in PAGES:
        page = make_page(path.read_text(encoding="utf-8"), RESULTS)
        if options.print:
            sys.stdout.write(page)
        else:
            path.write_text(page, encoding="utf-8")
    return 0


def make_page(page: str, results: Path) -> str:
    """Return a page with the tables of the results that are there."""

    def fill(found: re.Match[str]) -> str:
        head, name, end = found.groups()
        file = results / f"{name}.json"
        if not file.is_file():
            return f"{head}\nNot measured yet.\n\n{end}"
        return f"{head}\n{tables(json.loads(file.read_text(encoding='utf-8')))}\n{end}"

    return PART.sub(fill, page)


def tables(record: dict[str, Any]) -> str:
    """Return what one file of results says: medians with quartiles, promises, notes, and where it was measured."""
    notes = [f"{note}\n" for note in record.get("notes", [])]
    return "\n".join(filter(None, (measured(record), promises(record["promises"]), *notes, where(record))))


def measured(record: dict[str, Any]) -> str:
    """Return one row per measure: the median of each number, and its quartiles where it ran more than once."""
    names = dict.fromkeys(name for numbers in record["measured"].values() for name in numbers)
    heads = COLUMNS.get(record["name"].partition("-")[0], {name: name for name in names})
    heads = {name: head for name, head in heads.items() if name in names}
    rows = [
        [label, *(cell(numbers[name]) if name in numbers else "" for name in heads)]
        for label, numbers in record["measured"].items()
    ]
    return markdown(["", *heads.values()], rows)


def cell(spread: dict[str, Any]) -> str:
    """Return a median with its quartiles."""
    middle = digits(spread["median"])
    return middle if spread["rounds"] == 1 else f"{middle} ({digits(spread['low'])} … {digits(spread['high'])})"


def promises(kept: list[dict[str, Any]]) -> str:
    """Return a row a promise, with both numbers."""
    rows = []
    for promise in kept:
        numbers = [digits(number) for number in (promise["ours"], promise["other"]) if number is not None]
        bounds = [
            f"{word} {promise[key]:g}"
            for key, word in (("at_least", "at least"), ("at_most", "at most"))
            if promise[key] is not None
        ]
        quotient = "" if promise["other"] is None else ratio(promise["value"])
        said = "holds" if promise["holds"] else "**does not hold**"
        rows.append([promise["text"], f"{' / '.join(numbers)} {promise['unit']}", quotient, " and ".join(bounds), said])
    return markdown(["", "numbers", "ratio", "promised", ""], rows) if rows else ""


def where(record: dict[str, Any]) -> str:
    """Return the line that says what was measured when, on what and with what."""
    machine, versions = record["machine"], record["versions"]
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"`{record['command']}`, {record['date'][:10]}: {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB ({', '.join(machine['instruction_set'])}); {used}.\n"
    )


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table; what stands in the first column is a name, the rest are numbers."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
