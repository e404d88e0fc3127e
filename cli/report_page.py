"""A report as a page: one file with its style and figures inside, without any script; texts are escaped."""

import re
from html import escape

from kotovec.cli.report_content import Figure, Report, Section, Table, shown
from kotovec.cli.report_figure import draw
from kotovec.text import escaped
from kotovec.version import __version__

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.6 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; }
h1, h2 { line-height: 1.25; overflow-wrap: anywhere; text-wrap: balance; word-break: auto-phrase; }
h2 { margin-top: 2.5rem; }
p { max-width: 46rem; }
.wide { overflow-x: auto; margin: 0.5rem 0 1.2rem; }
table { border-collapse: collapse; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { padding: 0.2rem 1rem 0.2rem 0; text-align: left; vertical-align: top; white-space: nowrap; }
th { border-bottom: 1px solid currentColor; font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td:not(.number) { unicode-bidi: isolate; }
figure { margin: 0.5rem 0 1.2rem; overflow-x: auto; }
figcaption { font-weight: 600; margin-top: 1rem; }
svg { min-width: 18rem; width: 100%; max-width: 32rem; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: currentColor; }
svg .mark, svg .line { stroke: currentColor; stroke-width: 1.5; }
svg .line { fill: none; stroke-opacity: 0.6; }
svg .grid { stroke: currentColor; stroke-opacity: 0.2; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
pre { padding: 0.6rem 0.8rem; border: 1px solid; border-radius: 4px; }
pre span { white-space: nowrap; }
footer { margin-top: 2rem; opacity: 0.75; }
@media print {
body { font-size: 9pt; margin: 0; max-width: none; }
.wide, figure { overflow: visible; }
th, td { padding-right: 0.6rem; }
th, td:not(.number) { white-space: normal; }
figure, tr, pre { break-inside: avoid; }
h1, h2, caption, figcaption, p:has(+ pre) { break-after: avoid; }
svg { max-width: 11cm; }
}
"""
_CODE, _IN_CODE = re.compile("`([^`]*)`"), r"<code>\1</code>"
_OPTION, _UNBROKEN = (
    re.compile(r"(?<= )(--?[a-z-]+)"),
    r"<span>\1</span>",
)  # a line may otherwise end behind its hyphens
# No script can run, and nothing is fetched, whatever a vocabulary holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def make_page(report: Report) -> str:
    """Return the page of a report."""
    title = _safe(report.title)
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    body = "\n".join(_section(each, report.labels) for each in report.sections)
    foot = f"<footer>kotovec {_safe(__version__)}</footer>"
    return (
        f'<!doctype html>\n<html lang="{report.language}">\n<head>{head}<style>{STYLE}</style></head>\n'
        f"<body>\n<h1>{title}</h1>\n{body}\n{foot}\n</body>\n</html>\n"
    )


def _section(section: Section, labels: dict[str, str]) -> str:
    parts = [f'<section id="{section.name}"><h2>{_safe(section.title)}</h2>']
    lines = [*section.lines, *([section.legend] if section.figures else [])]
    parts += [f"<p>{_CODE.sub(_IN_CODE, _safe(line))}</p>" for line in lines]
    parts += [_figure(figure, f"{section.name}-{number}") for number, figure in enumerate(section.figures)]
    parts += [_table(table) for table in section.tables]
    if section.commands:
        name = labels["command" if len(section.commands) == 1 else "commands"]
        block = _OPTION.sub(_UNBROKEN, "\n".join(map(_safe, section.commands)))
        parts.append(f'<p>{_safe(name)}</p><pre tabindex="0"><code>{block}</code></pre>')
    return "\n".join([*parts, "</section>"])


def _figure(figure: Figure, name: str) -> str:
    caption = f"<figcaption>{_safe(figure.title)}</figcaption>" if figure.layers else ""
    return f'<figure tabindex="0">{caption}{draw(figure, name, _safe)}</figure>'


def _table(table: Table) -> str:
    kinds = ["" if index in table.texts else ' class="number"' for index in range(len(table.names))]
    head = "".join(f'<th scope="col"{kind}>{_safe(name)}</th>' for kind, name in zip(kinds, table.names, strict=True))
    rows = "\n".join(
        f"<tr>{''.join(f'<td{kind}>{_safe(shown(cell))}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in table.rows
    )
    made = (
        f"<table><caption>{_safe(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>"
    )
    return f'<div class="wide" tabindex="0">{made}</div>'


def _safe(text: str) -> str:
    return escape(escaped(text, keep=""))
