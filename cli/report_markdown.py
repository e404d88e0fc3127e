"""A report as Markdown."""

import re

from kotovec.cli.report_content import Report, Section, Table, shown
from kotovec.text import escaped

_SIGNS = re.compile(r"([\\`*_\[\]<>|#&])")


def make_markdown(report: Report) -> str:
    """Return a report as Markdown; what a vocabulary holds is never read as markup."""
    return "\n".join([f"# {_safe(report.title)}\n", *(_section(each, report.labels) for each in report.sections)])


def _section(section: Section, labels: dict[str, str]) -> str:
    parts = [f"## {_safe(section.title)}\n", *(f"{_safe(line, keep='`')}\n" for line in section.lines)]
    parts += [_table(table) for table in section.tables]
    if section.commands:
        name = labels["command" if len(section.commands) == 1 else "commands"]
        block = "\n".join(escaped(each, keep="") for each in section.commands)
        parts.append(f"{name}:\n\n```bash\n{block}\n```\n")
    return "\n".join(parts)


def _table(table: Table) -> str:
    rules = ["---" if index in table.texts else "---:" for index in range(len(table.names))]
    rows = [list(map(_safe, table.names)), rules, *([_safe(shown(cell)) for cell in row] for row in table.rows)]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{_safe(table.caption)}\n\n{body}\n"


def _safe(text: str, keep: str = "") -> str:
    return _SIGNS.sub(lambda found: found[0] if found[0] in keep else f"\\{found[0]}", escaped(text, keep=""))
