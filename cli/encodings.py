"""Text in and out where the locale is not UTF-8: no token is an error, and JSON stays JSON."""

import codecs
import contextlib
import re
import sys

_NAME = "kotovec.escape"
# What stands for a sign of kotovec's own where a stream lacks it, and for the words of an example.
_PLAIN = {"…": "...", "×": "x", "±": "+-", "→": "->", "—": "-", "∕": "/", "✓": "+", "▁": "_"}
_PLAIN |= {"王": "king", "男": "man", "女": "woman", "子": "child"}
# Where such signs and examples stand in a message, between names and tokens that keep theirs.
_OWN = re.compile(
    r"(?<=,)…|(?<=, )…|(?<=`)…|(?<=[A-Z])…|(?<=\d )×(?= \d)|(?<=workers )×(?= \d)|(?<=worker )×(?= \d)|(?<= )→(?= )"
    r"|(?<=\b1 )∕(?= \w)|(?<=such as `kotovec norms )王 子 女 男(?=`)"
)


def as_utf8(argument: str) -> str:
    """Return an argument that Python could not decode by the locale, decoded as UTF-8 if it is that."""
    with contextlib.suppress(UnicodeError):
        return argument.encode("ascii", "surrogateescape").decode("utf-8")
    return argument


def escaping_errors(encoding: str) -> str:
    """Return the name of the error handler for an output stream with this encoding."""
    if codecs.lookup(encoding).name == "utf-8":
        return "surrogateescape"  # a path may contain bytes that are not UTF-8
    codecs.register_error(_NAME, _escape)
    return _NAME


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that an encoding lacks by the escapes of JSON, such as `\u738b`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


def encodable(text: str, *, stderr: bool = False) -> str:
    """Return a text as stdout or stderr will show it, escapes included: this is what columns and carets are counted on.

    In UTF-8 nothing is escaped, and a text stays as it is.
    """
    stream = sys.stderr if stderr else sys.stdout
    stream = getattr(stream, "rich_proxied_file", stream)  # while a step is shown live
    encoding = getattr(stream, "encoding", None) or "utf-8"
    if text.isascii() or codecs.lookup(encoding).name == "utf-8":
        return text
    return text.encode(encoding, escaping_errors(encoding)).decode(encoding)


def plainly(text: str, instead: str, *, stderr: bool = False) -> str:
    """Return a sign of kotovec's own, such as ×, or what stands for it where the stream lacks it: not for tokens."""
    return text if encodable(text, stderr=stderr) == text else instead


def own(text: str, *, stderr: bool = False) -> str:
    """Return a text that is all kotovec's own, such as a help text: what the stream lacks is spelled in ASCII."""
    return "".join(plainly(char, _PLAIN.get(char, char), stderr=stderr) for char in text)


def message(text: str, *, stderr: bool = False) -> str:
    """Return a message as a stream will show it: kotovec's own signs are spelled in ASCII, all else is escaped."""
    if text.isascii():
        return text
    return encodable(_OWN.sub(lambda found: own(found[0], stderr=stderr), text), stderr=stderr)


def echo(text: str, *, stderr: bool = False) -> None:
    """Print a line at once, in the encoding of the stream: Typer's own takes UTF-8 for every stream that is ASCII."""
    print(text, file=sys.stderr if stderr else sys.stdout, flush=True)
