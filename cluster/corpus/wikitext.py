"""The running text of an article in MediaWiki's markup: no templates, tables, headings, notes and pictures.

An approximation in linear passes: what a parser would expand is left out, and what is not closed stays.
"""

import html
import re
from collections.abc import Callable, Collection

_ROUNDS = 30  # of nested templates and links; deeper ones stay, and their lines are left out
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_UNREAD = "ref|math|chem|gallery|timeline|syntaxhighlight|source|score|hiero|imagemap|code|pre|templatedata|graph|poem"
_EMPTY_TAG = re.compile(rf"<(?:{_UNREAD})\b[^<>]*/>", re.IGNORECASE)
_UNREAD_TAG = re.compile(rf"<({_UNREAD})\b[^<>]*>.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(r"<(?:br|p|/p|hr|li|/li|tr|div|/div)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>\n]*>", re.IGNORECASE)
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}|\{\{\{[^{}]*\}\}\}")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")  # captions of pictures may have several lines
_OUTSIDE = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\]]*\s*([^\]\n]*)\]|\[mailto:[^\s\]]*\s*([^\]\n]*)\]")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z]+)*:\S")
_SWITCH = re.compile(r"__[A-Z]+__")
_EMPHASIS = re.compile(r"'{2,}")
# Lines that are no running text: headings, rows of tables, and what was not closed.
_LINE = re.compile(r"^(?:=.*|[ \t:]*(?:\{\||\||!).*|.*(?:\{\{|\}\}|\[\[|\]\]|\|\|).*)$", re.MULTILINE)
_LIST = re.compile(r"^[*#:;]+[ \t]*", re.MULTILINE)
_HOLLOW = re.compile(r"\([\s,;:/]*\)|（[\s、，；：/]*）")  # left of templates, such as of a pronunciation
_BEGUN = re.compile(r"(?<=[(（])[\s,;、，；]+")
_PICTURES = frozenset({"file", "image", "media", "category", "画像"})


def plain_text(markup: str, namespaces: Collection[str] = ()) -> str:
    """Return the running text of an article, one paragraph or entry of a list per line.

    Args:
        markup: the article in MediaWiki's markup.
        namespaces: names for files and categories in the wiki's language, such as `ファイル`, in lower case; links to
            them are left out.
    """
    left_out = _PICTURES.union(namespaces)
    text = _EMPTY_TAG.sub("", _COMMENT.sub("", markup))
    text = _UNREAD_TAG.sub("", text)
    text = _repeated(_TEMPLATE, lambda _: "", text)
    text = _repeated(_LINK, lambda match: _shown(match[1], left_out), text)
    text = _OUTSIDE.sub(lambda match: match[1] or match[2] or "", text)
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = _LINE.sub("", _SWITCH.sub("", text))
    text = _LIST.sub("", _EMPHASIS.sub("", text))
    return _BEGUN.sub("", _HOLLOW.sub("", html.unescape(text)))


def _repeated(pattern: "re.Pattern[str]", replacement: Callable[["re.Match[str]"], str], text: str) -> str:
    """Return a text in which a pattern is replaced from the innermost one outwards."""
    for _ in range(_ROUNDS):
        text, count = pattern.subn(replacement, text)
        if not count:
            break
    return text


def _shown(link: str, left_out: Collection[str]) -> str:
    """Return what a reader sees of a link."""
    target, *labels = link.split("|")
    name = target.lstrip().partition(":")[0].strip().lower()
    if name in left_out or _LANGUAGE.match(target):
        return ""
    return labels[-1] if labels else target.removeprefix(":")
