"""The names that people give a model of the Hub: `owner/name`, with a revision, behind a prefix, or as an address."""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEMO = "demo"
_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
_REVISION = re.compile(r"[\w.\-]+(/[\w.\-]+)*")
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com")
_PREFIX = re.compile(r"(hf|huggingface):(//)?|(ssh://)?git@(hf\.co|huggingface\.co)[:/]")
_OTHERS = ("datasets", "spaces", "collections", "papers", "docs", "blog")
_WITH_REVISION = ("tree", "blob", "resolve", "raw", "commit", "commits")


@dataclass(frozen=True)
class Address:
    """A model on the Hub, such as `owner/name` at a revision; None is the repository's main one."""

    repository: str
    revision: str | None = None


def parse(name: str) -> Address | None:
    """Return the model of the Hub that a name means; None where it is no such name.

    Known are `owner/name`, `owner/name@revision`, `hf:owner/name`, `hf://owner/name@revision`,
    `git@hf.co:owner/name.git`, and the address of a model's page or of one of its files.
    """
    text = name.strip().rstrip("/")
    own = urlsplit(os.environ.get("HF_ENDPOINT") or "").netloc
    hosts = (*_HOSTS, own) if own else _HOSTS
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("http", "https"):
        host, _, path = rest.partition("/")
        return _of_page(path) if host.rpartition("@")[2] in hosts else None
    host, _, path = text.partition("/")
    if host in hosts and path:
        return _of_page(path)
    text, count = _PREFIX.subn("", text, count=1) if _PREFIX.match(text) else (text, 0)
    repository, at, revision = text.removeprefix("models/" if count else "").partition("@")
    repository = repository.removesuffix(".git")
    if not _ID.fullmatch(repository) or (at and not _REVISION.fullmatch(unquote(revision))):
        return None
    return Address(repository, unquote(revision) if at else None)


def _of_page(path: str) -> Address | None:
    """Return the model of an address's path, such as `owner/name/blob/main/config.json`."""
    parts = [unquote(part) for part in re.split(r"[?#]", path)[0].strip("/").split("/")]
    if parts[0] in _OTHERS:
        return None
    if parts[:2] == ["api", "models"]:
        parts = parts[2:]
    marks = [index for index, part in enumerate(parts[:3]) if part in _WITH_REVISION]
    end = marks[0] if marks else min(len(parts), 2)
    repository = "/".join(parts[:end]).removesuffix(".git")
    revision = parts[end + 1] if marks and len(parts) > end + 1 else None
    if parts[end + 1 : end + 2] == ["refs"]:  # refs/pr/1, which has slashes of its own
        revision = "/".join(parts[end + 1 : end + 4])
    if not _ID.fullmatch(repository) or not (revision is None or _REVISION.fullmatch(revision)):
        return None
    return Address(repository, revision)
