"""The tokenizer's own files: which id each text has by them, and where transformers' tokenizer differs.

transformers 5 builds many tokenizers from their class, and takes only a part of `tokenizer.json`: digits were split
otherwise, NFKC was lost, and `King` lost its K. The files are the truth: `tokenizer.json` is used as it stands, and a
tokenizer that transformers makes of other files must give the ids that they say, or the model is refused.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.workers.source import Source

TOKENIZER = "tokenizer.json"
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_SETTINGS = ("special_tokens_map.json", "tokenizer_config.json")  # the later one wins
_PIECES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model", "sentencepiece.model")


def read_tokenizer(source: Source) -> Any | None:
    """Return the tokenizer of `tokenizer.json`, wrapped as one of transformers; None where there is no such file.

    Tokens that other files name with an id of their own are added. A special token that no file gives an id is not: the
    model has no row for it.

    Raises:
        ModelError: the file is damaged, or its ids are not those that it or another file says.
    """
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = source.folder / TOKENIZER
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        written, own = json.loads(content), Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers has no error class of its own
        raise ModelError(
            f"{source.name} has no tokenizer that can be read: {TOKENIZER} is damaged ({first_line(error)})"
        ) from error
    own.no_truncation()
    own.no_padding()
    _refuse_shared_ids(source, written.get("model", {}).get("vocab"))
    for entry in written.get("added_tokens") or ():
        _require(source, TOKENIZER, entry["content"], entry["id"], own.token_to_id(entry["content"]))
    for file, text, token_id, options in _explicit(source.folder):
        if own.token_to_id(text) is None and own.id_to_token(token_id) is None:
            own.add_tokens([AddedToken(text, **options)])
        _require(source, file, text, token_id, own.token_to_id(text))
    roles, _ = named_tokens(source.folder)
    known = {role: text for role, text in roles.items() if own.token_to_id(text) is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, **{f"{role}_token": known[role] for role in known})
    tokenizer._tokenizer = own  # noqa: SLF001 — the wrapper's own copy got a template of its class
    return tokenizer


def named_tokens(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the special tokens that the tokenizer's settings name: by role (`unk`, `cls`, …), and others."""
    roles: dict[str, str] = {}
    others: list[str] = []
    for file in _SETTINGS:
        settings = read_settings(folder / file)
        for role in ROLES:
            if text := _text_of(settings.get(f"{role}_token")):
                roles[role] = text
        for name in ("additional_special_tokens", "extra_special_tokens"):
            several = settings.get(name)
            others += [text for each in several or () if (text := _text_of(each))] if isinstance(several, list) else []
    return roles, others


def check_ids(source: Source, tokenizer: Any) -> None:
    """Check that a tokenizer gives every text the id that the vocabulary's files say.

    Raises:
        ModelError: it gives another one; the message names the file, the text and both ids.
    """
    folder, vocabulary = source.folder, tokenizer.get_vocab()
    model = type(tokenizer.backend_tokenizer.model).__name__ if hasattr(tokenizer, "backend_tokenizer") else "Python"
    complete = not (folder / TOKENIZER).is_file()
    for file, kinds in (("vocab.txt", ("WordPiece", "Python")), ("vocab.json", ("BPE", "WordLevel", "Python"))):
        if model not in kinds:
            continue
        for text, token_id in _listed(folder / file).items():
            found = vocabulary.get(text)
            if complete or found is not None:  # tokenizer.json may have given a spare row another text
                _require(source, file, text, token_id, found)
    for file, text, token_id, _ in _explicit(folder):
        _require(source, file, text, token_id, vocabulary.get(text))
    if complete:
        _check_pieces(source, vocabulary)


def invented_ids(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Return the ids of tokens that transformers put behind a vocabulary whose files give them none.

    They are those of special tokens that the tokenizer's class has by default, such as `[CLS]`: the model has no row
    for them, or a spare one that was never trained.
    """
    if (folder / TOKENIZER).is_file():
        return frozenset()
    listed = _listed(folder / "vocab.txt") or _listed(folder / "vocab.json")
    if not listed:
        return frozenset()
    explicit = {text for _, text, _, _ in _explicit(folder)}
    last = max(listed.values())
    vocabulary = tokenizer.get_vocab().items()
    return frozenset(
        token_id for text, token_id in vocabulary if token_id > last and text not in explicit | set(listed)
    )


def computes_ids(folder: Path) -> bool:
    """Return whether transformers computes the ids: no file of the folder lists them."""
    return not any((folder / file).is_file() for file in (TOKENIZER, "vocab.txt", "vocab.json"))


def _listed(path: Path) -> dict[str, int]:
    """Return the ids that a vocabulary file lists; empty where it is missing, or of another form.

    Lines end at a line feed alone: a token may be any other sign that ends lines.
    """
    if path.suffix == ".json":
        content = read_settings(path)
        return content if all(isinstance(token_id, int) for token_id in content.values()) else {}
    try:
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    if all(line.rpartition(" ")[2].isdigit() and " " in line for line in lines[:3]):
        return {}  # fairseq's dict.txt, as PhoBERT has it: text and frequency
    return {line.removesuffix("\r"): token_id for token_id, line in enumerate(lines)}


def _explicit(folder: Path) -> Iterator[tuple[str, str, int, dict[str, bool]]]:
    """Yield the added tokens that files name with an id: file, text, id, options of `AddedToken`; ascending ids."""
    found: dict[int, tuple[str, str, dict[str, bool]]] = {}
    roles, others = named_tokens(folder)
    special = {*roles.values(), *others}
    for text, token_id in read_settings(folder / "added_tokens.json").items():
        if isinstance(token_id, int):
            found[token_id] = "added_tokens.json", text, {"special": text in special}
    entries = read_settings(folder / "tokenizer_config.json").get("added_tokens_decoder")
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and key.isdigit() and isinstance(entry.get("content"), str):
            names = ("single_word", "lstrip", "rstrip", "normalized", "special")
            options = {name: entry[name] for name in names if isinstance(entry.get(name), bool)}
            found[int(key)] = "tokenizer_config.json", entry["content"], options
    for token_id, (file, text, options) in sorted(found.items()):
        yield file, text, token_id, options


def _refuse_shared_ids(source: Source, vocabulary: Any) -> None:
    if not isinstance(vocabulary, dict) or len(set(vocabulary.values())) == len(vocabulary):
        return
    seen: dict[int, str] = {}
    for text, token_id in vocabulary.items():
        if token_id in seen:
            raise ModelError(f"{TOKENIZER} of {source.name} gives id {token_id} to `{seen[token_id]}` and to `{text}`")
        seen[token_id] = text


def _check_pieces(source: Source, vocabulary: Mapping[str, int]) -> None:
    """Check that all pieces of a SentencePiece model are as far from their own ids as the first one.

    Vocabularies of fairseq are shifted by one, that of Pegasus by 103; what is shifted in part is wrong.
    """
    import sentencepiece

    path = next((path for file in _PIECES if (path := source.folder / file).is_file()), None)
    if path is None:
        return
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError:  # `tokenizer.model` may be tiktoken's
        return
    shift = None
    for number in range(pieces.get_piece_size()):
        if pieces.is_control(number) or pieces.is_unknown(number) or pieces.is_unused(number):
            continue
        text = pieces.id_to_piece(number)
        found = vocabulary.get(text)
        if shift is None and found is not None:
            shift = found - number
        _require(source, path.name, text, number + (shift or 0), found)


def _require(source: Source, file: str, text: str, token_id: int, found: int | None) -> None:
    if found != token_id:
        other = "none" if found is None else str(found)
        raise ModelError(
            f"the tokenizer of {source.name} is not that of its files: by {file} `{text[:80]}` is id {token_id}, "
            f"by the tokenizer that loads {other}"
        )


def _text_of(token: Any) -> str | None:
    """Return the text of a token that settings spell as a string or an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None


def read_settings(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty where the file is missing or damaged, which is reported elsewhere."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
