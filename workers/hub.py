"""The Hugging Face Hub: a model's files, downloaded or found in the cache, and what the Hub's refusals mean."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kotovec.errors import RESUME, ModelError, ModelNotFoundError, first_line, quoted
from kotovec.workers.address import DEMO
from kotovec.workers.inventory import (
    CONFIG,
    PART,
    WEIGHTS,
    model_folder,
    refuse_without_config,
    refuse_without_weights,
    weights_name,
)
from kotovec.workers.json_files import read_json

HUB_SECONDS = 4.0  # to reach the Hub: transformers' own retries take 46 s without a network
# What a build needs of a repository besides its weights: `bpe.codes` is PhoBERT's, `prophetnet.tokenizer` ProphetNet's.
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.vocab", "*.bpe", "*.spm", "*.codes", "*.tokenizer")
# Sub-folders hold other forms of the weights (ONNX, OpenVINO), but 0_Transformer in older sentence-transformers.
_OTHER_FOLDERS = ("[!0]*/*", "0[!_]*/*", "0/*", "0_*/*/*")
_LOGIN = "run `hf auth login`"
_LOCAL = f"or choose `{DEMO}` or a local folder as MODEL"
_TOO_MANY, _SERVER = 429, 500
_UNAUTHORIZED, _FORBIDDEN = 401, 403


def download(repository: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the folder of a Hub model and its commit; from the cache where the Hub is out of reach.

    The Hub is asked once, with a short time limit, before any call that would retry.

    Raises:
        ModelNotFoundError: there is no such model, the Hub refuses it or is out of reach, or it is no model.
        ModelError: the repository holds no weights that are read.
    """
    names = _names(repository, revision)
    if isinstance(names, Exception):
        return _cached(repository, revision, names)
    with _completely(repository, revision):
        return _fetch(repository, revision, names)


def download_around(repository: str, revision: str | None) -> tuple[Path, str | None, tuple[str, ...]]:
    """Return the folder of a Hub model, its commit, and the weight files that were left on the Hub.

    Those of safetensors are left there unless the cache has them: a table is read from them by ranges of their bytes.

    Raises:
        ModelNotFoundError, ModelError: as `download`.
    """
    names = _names(repository, revision)
    weights = None if isinstance(names, Exception) else weights_name(names)
    if isinstance(names, Exception) or CONFIG not in names or weights is None or ".safetensors" not in weights:
        return (*download(repository, revision), ())
    with _completely(repository, revision):
        folder = _snapshot(repository, revision, [])
        parts = tuple(_parts(folder, weights))
    here = parts and all((folder / part).is_file() for part in parts)
    return folder, folder.name, () if here else parts


def _names(repository: str, revision: str | None) -> list[str] | Exception:
    """Return the names of the files of a repository; the error where the Hub is out of reach.

    Raises:
        ModelNotFoundError: the Hub has no such model or revision.
    """
    # With telemetry, the client's first call asks the Hub for one more page, and waits 3 s for it in vain.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub as hub
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    # A level that is set on the logger itself is lost when the client's modules are imported.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        info = hub.HfApi().model_info(repository, revision=revision, timeout=HUB_SECONDS)
    except Exception as error:  # connection, proxy, TLS, time-out, HTTP 5xx: anything that the client raises
        if isinstance(error, errors.RevisionNotFoundError | errors.RepositoryNotFoundError):
            raise _refusal(repository, revision, error) from error
        return error
    return [sibling.rfilename for sibling in info.siblings or []]


@contextlib.contextmanager
def _completely(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what ends a download into one error."""
    try:
        yield
    except (ModelError, ModelNotFoundError):
        raise
    except Exception as error:  # connection lost, disk full: anything that the client raises
        raise _cut_off(repository, revision, error) from error


def _fetch(repository: str, revision: str | None, names: Sequence[str]) -> tuple[Path, str]:
    """Download a model's small files and the weights that are read, and no other; return its folder and its commit."""
    configs = [name for name in names if name == CONFIG or (name.startswith("0_") and name.endswith("/" + CONFIG))]
    if not configs:
        raise refuse_without_config(repository, names)
    weights = weights_name(names)
    known = CONFIG in configs and len(configs) == 1 and weights is not None and not weights.endswith(".json")
    if weights is None and len(configs) == 1 and CONFIG in configs:
        raise refuse_without_weights(repository, repository, names)
    # By the name of the revision, not its commit: only then does the cache know `main` without the Hub.
    top = _snapshot(repository, revision, [weights] if known and weights else [])
    folder = model_folder(top)
    if not known:
        below = "" if folder == top else f"{folder.name}/"
        inside = [name.removeprefix(below) for name in names if name.startswith(below)]
        weights = weights_name(inside)
        if weights is None:
            raise refuse_without_weights(repository, f"{repository}/{below}".rstrip("/"), inside)
        _snapshot(repository, revision, [below + part for part in _parts(folder, weights)])
    return folder, top.name  # a snapshot's folder is named after its commit


def _parts(folder: Path, weights: str) -> list[str]:
    """Return the files of the weights: those that the index names, or the one file."""
    if not weights.endswith(".index.json"):
        return [weights]
    try:
        named = read_json(folder / weights).get("weight_map")
    except ModelError:  # reported when the weights are read
        return []
    parts = set(named.values() if isinstance(named, dict) else ())
    return sorted(part for part in parts if isinstance(part, str) and PART.fullmatch(part))


def _cached(repository: str, revision: str | None, reason: Exception) -> tuple[Path, str | None]:
    try:
        # With the patterns of the download: the cache refuses a snapshot that lacks one of its files.
        top = _snapshot(repository, revision, [], local_files_only=True)
        folder = model_folder(top)
        below = "" if folder == top else f"{folder.name}/"
        for weights in WEIGHTS:
            if weights.endswith(".index.json") and not (folder / weights).is_file():
                continue
            parts = _parts(folder, weights)
            _snapshot(repository, revision, [below + part for part in parts], local_files_only=True)
            if all((folder / part).is_file() for part in parts):
                break
    except (OSError, ValueError) as error:
        raise _refusal(repository, revision, reason) from error
    return folder, top.name


def _snapshot(repository: str, revision: str | None, weights: Sequence[str], *, local_files_only: bool = False) -> Path:
    """Return the folder of a model in the cache; download what it lacks of the small files and of these weights."""
    import huggingface_hub as hub

    folder = hub.snapshot_download(
        repository,
        revision=revision,
        allow_patterns=[*SMALL_FILES, *weights],
        ignore_patterns=list(_OTHER_FOLDERS),
        local_files_only=local_files_only,
    )
    return Path(folder)


def _refusal(repository: str, revision: str | None, error: BaseException) -> ModelNotFoundError:
    """Return the error about a model that the Hub does not give."""
    known = _by_kind(repository, revision, error) or _by_status(repository, error)
    message, hint = known or _unreached(repository, error)
    return ModelNotFoundError(message, hint=hint)


def _by_kind(repository: str, revision: str | None, error: BaseException) -> tuple[str, str | None] | None:
    """Return what an exception of the client's own means, and a hint; None for any other."""
    from huggingface_hub import errors

    nowhere = f"there is no folder {repository}, and no such model on the Hub"
    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated", f"accept its terms on the Hub, then {_LOGIN}"
    # Without a token, the Hub gives this answer for whatever it does not show; with one, for that alone.
    if _status(error) == _UNAUTHORIZED and _token():
        named, hint = "the saved token", f"renew it: {_LOGIN}"
        if os.environ.get("HF_TOKEN"):
            named, hint = "HF_TOKEN", "set HF_TOKEN to a valid token, or unset it"
        return f"the Hub refuses {named}, and gives no {repository} (401{_said(error)})", hint
    if isinstance(error, errors.RevisionNotFoundError):
        at = "" if revision is None else f" at revision {revision}"
        return f"{nowhere}{at}", "look for the branches and tags on the model's page"
    if isinstance(error, errors.RepositoryNotFoundError) or _status(error) == _UNAUTHORIZED:
        return nowhere, f"{_LOGIN} first if the model is private"
    if isinstance(error, errors.DisabledRepoError):
        return f"{repository} is disabled on the Hub", "choose another model"
    return None


def _by_status(repository: str, error: BaseException) -> tuple[str, str] | None:
    """Return what the status of an answer means, and a hint; None without an answer."""
    status, token = _status(error), _token()
    if status is None:
        return None
    if status == _FORBIDDEN:
        hint = "use a token that may read it" if token else f"{_LOGIN} with a token that may read it"
        return f"the Hub forbids {repository} (403{_said(error)})", hint
    if status == _TOO_MANY:
        hint = "wait some minutes" if token else f"wait some minutes, or {_LOGIN}, which raises the limit"
        return f"{_nowhere(repository)}, and the Hub gets too many requests from here (429)", hint
    what = "is failing" if status >= _SERVER else "does not give it"
    return f"{_nowhere(repository)}, and the Hub {what} ({status}{_said(error)})", f"try again later, {_LOCAL}"


def _unreached(repository: str, error: BaseException) -> tuple[str, str]:
    """Return what an error without an answer means, and a hint."""
    from huggingface_hub import errors

    nowhere = _nowhere(repository)
    if local := _by_disk(error):
        return f"{repository} cannot be downloaded ({local[0]})", local[1]
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{nowhere}, and the Hub is not asked, as HF_HUB_OFFLINE is set", f"unset HF_HUB_OFFLINE, {_LOCAL}"
    return f"{nowhere}, and the Hub is out of reach ({first_line(error)})", f"restore the network, {_LOCAL}"


def _nowhere(repository: str) -> str:
    return f"there is no folder {repository}, it is not in the cache"


def _cut_off(repository: str, revision: str | None, error: Exception) -> ModelNotFoundError:
    """Return the error about a download that ended early."""
    from huggingface_hub import errors

    # The client wraps what went wrong in errors that speak of the network.
    answer = next((each for each in _causes(error) if _status(each) is not None), error)
    gated = isinstance(answer, errors.GatedRepoError)  # the Hub shows everything of a gated model but its files
    if gated or _status(answer) in (_UNAUTHORIZED, _TOO_MANY):
        return _refusal(repository, revision, answer)
    reason, hint = _by_disk(error) or (first_line(error), RESUME)
    return ModelNotFoundError(f"{repository} did not download completely ({reason})", hint=hint)


def _by_disk(error: BaseException) -> tuple[str, str] | None:
    """Return which failure of this machine's cache an error is, and a hint; None for any other error."""
    for found in _causes(error):
        if not isinstance(found, OSError) or found.filename is None:
            continue
        if found.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk of the cache is full", "free some space, or set HF_HOME to a folder on another disk"
        if found.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            return f"{found.filename}: {found.strerror}", "set HF_HOME to a folder that this user can write to"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _token() -> str | None:
    """Return the token that the Hub is sent, if any."""
    import huggingface_hub as hub

    with contextlib.suppress(OSError):  # of another user
        return hub.get_token()
    return None


def _status(error: Any) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _said(error: Any) -> str:
    """Return what the Hub says in an answer's header, after a comma."""
    text = getattr(error, "response", None) and error.response.headers.get("X-Error-Message")
    return f", {quoted(text[:120])}" if text else ""
