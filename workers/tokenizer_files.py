"""The tokenizer's own files: which id each text has by them, and where transformers' tokenizer differs.

transformers 5 builds many tokenizers from their class, and takes only a part of `tokenizer.json`: digits were split
otherwise, NFKC was lost, and `King` lost its K. The files are the truth: `tokenizer.json` is used as it stands, and a
tokenizer that transformers makes of other files must give the ids that they say, or the model is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kotovec.errors import ModelError, first_line
from kotovec.growth import LONGEST_PIECE, check_model, growth_of, longest_piece
from kotovec.panics import panics_as
from kotovec.workers.json_files import DOWNLOAD, MOST_TOKENIZER, read_json, read_json_file
from kotovec.workers.model import Model

TOKENIZER = "tokenizer.json"
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
CLASS = f"add the {TOKENIZER} that the model was trained with, or name its class as tokenizer_class"
_AROUND = ("cls", "sep", "bos", "eos")
MOST_WORDS = 200  # of a vocabulary, that are split for comparison: 20 ms
FORMS = ("Ａｂｃ１２３", "ガ", "é")  # full width, voiced, accented: what normalizers change
_PIECES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "spm.model", "sentencepiece.model")


def read_tokenizer(model: Model) -> Any | None:
    """Return the tokenizer of `tokenizer.json`, wrapped as one of transformers; None where there is no such file.

    Tokens that other files name with an id of their own are added. A special token that no file gives an id is not: the
    model has no row for it.

    Raises:
        ModelError: the file is damaged, or its ids are not those that it or another file says.
    """
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = model.source.folder / TOKENIZER
    if not path.is_file():
        return None
    try:
        own_file = read_json_file(path, MOST_TOKENIZER)
        written = own_file.content
        with panics_as(ValueError):
            growth_of(own_file.data, Tokenizer.from_str).check_added(text for _, text, *_ in _explicit(model))
            own = Tokenizer.from_buffer(own_file.data)
            check_model(own.model)
    except Exception as error:  # tokenizers has no error class of its own
        raise ModelError(
            f"{model.name} has no tokenizer that can be read: {TOKENIZER} is damaged ({first_line(error)})",
            hint=DOWNLOAD,
        ) from error
    own.no_truncation()
    own.no_padding()
    _refuse_shared_ids(model, written.get("model", {}).get("vocab"))
    for entry in written.get("added_tokens") or ():
        _require(model, TOKENIZER, entry["content"], entry["id"], own.token_to_id(entry["content"]))
    for file, text, token_id, options in _explicit(model):
        if own.token_to_id(text) is None and own.id_to_token(token_id) is None:
            own.add_tokens([AddedToken(text, **options)])
        _require(model, file, text, token_id, own.token_to_id(text))
    roles, _ = named_tokens(model)
    known = {role: text for role, text in roles.items() if own.token_to_id(text) is not None}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, **{f"{role}_token": known[role] for role in known})
    tokenizer._tokenizer = own  # noqa: SLF001 — the wrapper's own copy got a template of its class
    return tokenizer


def named_tokens(model: Model) -> tuple[dict[str, str], list[str]]:
    """Return the special tokens that the tokenizer's settings name: by role (`unk`, `cls`, …), and others."""
    roles: dict[str, str] = {}
    others: list[str] = []
    for settings in (
        read_json(model.source.folder / "special_tokens_map.json"),
        model.tokenizer_config,
    ):  # which wins
        for role in ROLES:
            if text := _text_of(settings.get(f"{role}_token")):
                roles[role] = text
        for name in ("additional_special_tokens", "extra_special_tokens"):
            several = settings.get(name)
            others += [text for each in several or () if (text := _text_of(each))] if isinstance(several, list) else []
    return roles, others


def check_ids(model: Model, tokenizer: Any) -> None:
    """Check that a tokenizer gives every text the id that the vocabulary's files say.

    Raises:
        ModelError: it gives another one; the message names the file, the text and both ids.
    """
    folder, vocabulary = model.source.folder, tokenizer.get_vocab()
    algorithm = model_name(tokenizer)
    complete = not (folder / TOKENIZER).is_file()
    for file, kinds in (("vocab.txt", ("WordPiece", "Python")), ("vocab.json", ("BPE", "WordLevel", "Python"))):
        if algorithm not in kinds:
            continue
        listed = _listed(folder / file)
        # tokenizers takes lines without the blanks at their end, of which the last one wins.
        stripped = {text.rstrip(): token_id for text, token_id in listed.items()} if file == "vocab.txt" else {}
        for text, token_id in listed.items():
            found = vocabulary.get(text)
            if found != token_id and stripped.get(text.rstrip(), -1) == vocabulary.get(text.rstrip()):
                continue
            if complete or found is not None:  # tokenizer.json may have given a spare row another text
                _require(model, file, text, token_id, found)
    for file, text, token_id, _ in _explicit(model):
        _require(model, file, text, token_id, vocabulary.get(text))
    if complete:
        _check_pieces(model, tokenizer, vocabulary)
    elif algorithm == "Python":  # words are split by code, and tokenizer.json lies beside it
        model_part = read_json(folder / TOKENIZER, MOST_TOKENIZER).get("model")
        beside = model_part.get("vocab") if isinstance(model_part, dict) else None
        for text, token_id in beside.items() if isinstance(beside, dict) else ():
            _require(model, TOKENIZER, text, token_id, vocabulary.get(text))


def invented_ids(model: Model, tokenizer: Any) -> frozenset[int]:
    """Return the ids of tokens that transformers put behind a vocabulary whose files give them none.

    They are those of special tokens that the tokenizer's class has by default, such as `[CLS]`: the model has no row
    for them, or a spare one that was never trained.
    """
    folder = model.source.folder
    if (folder / TOKENIZER).is_file():
        return frozenset()
    written = {text for _, text, _, _ in _explicit(model)}
    if listed := _listed(folder / "vocab.txt") or _listed(folder / "vocab.json"):
        return frozenset(
            token_id for text, token_id in tokenizer.get_vocab().items() if text not in written and text not in listed
        )
    if (found := _pieces(folder)) is None:
        return frozenset()
    size = found[1].get_piece_size()
    written |= {found[1].id_to_piece(number) for number in range(size)}
    # <mask> and the tokens of languages, which fairseq's models do have there, are no such roles.
    roles = [(getattr(tokenizer, f"{role}_token"), getattr(tokenizer, f"{role}_token_id")) for role in _AROUND]
    return frozenset(number for text, number in roles if text not in written and number is not None and number >= size)


def listed_texts(folder: Path, tokenizer: Any) -> dict[int, str]:
    """Return the texts of the rows that `vocab.txt` lists, equal ones too; empty where another file says them."""
    if (folder / TOKENIZER).is_file() or model_name(tokenizer) not in ("WordPiece", "Python"):
        return {}
    return dict(enumerate(_lines(folder / "vocab.txt")))


def model_name(tokenizer: Any) -> str:
    """Return which model of `tokenizers` splits words, such as `WordPiece`; `Python` where it is code."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "Python" if backend is None else type(backend.model).__name__


def computes_ids(folder: Path) -> bool:
    """Return whether transformers computes the ids: no file of the folder lists them."""
    return not any((folder / file).is_file() for file in (TOKENIZER, "vocab.txt", "vocab.json"))


def _listed(path: Path) -> dict[str, int]:
    """Return the ids that a vocabulary file lists; empty where it is missing, or of another form."""
    if path.suffix == ".json":
        content = read_json(path)
        return content if all(isinstance(token_id, int) for token_id in content.values()) else {}
    return {line: token_id for token_id, line in enumerate(_lines(path))}


def _lines(path: Path) -> list[str]:
    """Return the texts in a `vocab.txt`; none where it is missing, or of another form.

    Lines end at a line feed alone: a token may be any other character that ends lines.
    """
    try:
        lines = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    if all(line.rpartition(" ")[2].isdigit() and " " in line for line in lines[:3]):
        return []  # fairseq's dict.txt, as PhoBERT has it: text and frequency
    return [line.removesuffix("\r") for line in lines]


def _explicit(model: Model) -> Iterator[tuple[str, str, int, dict[str, bool]]]:
    """Yield the added tokens that files name with an id: file, text, id, options of `AddedToken`; ascending ids."""
    found: dict[int, tuple[str, str, dict[str, bool]]] = {}
    roles, others = named_tokens(model)
    special = {*roles.values(), *others}
    for text, token_id in read_json(model.source.folder / "added_tokens.json").items():
        if isinstance(token_id, int):
            found[token_id] = "added_tokens.json", text, {"special": text in special}
    entries = model.tokenizer_config.get("added_tokens_decoder")
    for key, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and key.isdigit() and isinstance(entry.get("content"), str):
            names = ("single_word", "lstrip", "rstrip", "normalized", "special")
            options = {name: entry[name] for name in names if isinstance(entry.get(name), bool)}
            found[int(key)] = "tokenizer_config.json", entry["content"], options
    for token_id, (file, text, options) in sorted(found.items()):
        yield file, text, token_id, options


def _refuse_shared_ids(model: Model, vocabulary: Any) -> None:
    if not isinstance(vocabulary, dict) or len(set(vocabulary.values())) == len(vocabulary):
        return
    seen: dict[int, str] = {}
    for text, token_id in vocabulary.items():
        if token_id in seen:
            raise ModelError(
                f"{TOKENIZER} of {model.name} gives id {token_id} to `{seen[token_id]}` and to `{text}`", hint=DOWNLOAD
            )
        seen[token_id] = text


def _check_pieces(model: Model, tokenizer: Any, vocabulary: Mapping[str, int]) -> None:
    """Check that all pieces of a SentencePiece model are as far from their own ids as the first one, and split words.

    Vocabularies of fairseq are shifted by one, that of Pegasus by 103; what is shifted in part is wrong.
    """
    if (found := _pieces(model.source.folder)) is None:
        return
    file, pieces = found
    shift: int | None = None
    words = []
    for number in range(pieces.get_piece_size()):
        if pieces.is_control(number) or pieces.is_unknown(number) or pieces.is_unused(number):
            continue
        text = pieces.id_to_piece(number)
        token_id = vocabulary.get(text)
        if shift is None and token_id is not None:
            shift = token_id - number
        _require(model, file, text, number + (shift or 0), token_id)
        if text.startswith("▁") and len(text) > 2:  # noqa: PLR2004 — a word of two characters or more
            words.append(text[1:])
    some = words[:: len(words) // MOST_WORDS + 1]
    other = [word for word in some if not _splits_alike(word, tokenizer, pieces, shift or 0)]
    if len(other) > len(some) // 2:
        raise ModelError(
            f"the tokenizer that transformers makes for {model.name} splits {len(other)} of {len(some)} words "
            f"otherwise than {file}, for example `{other[0]}`",
            hint=CLASS,
        )


def words_read_otherwise(folder: Path, tokenizer: Any) -> tuple[str, list[str]]:
    """Return the file of a SentencePiece model, and which of a few forms a tokenizer made of it reads otherwise."""
    if not computes_ids(folder) or (found := _pieces(folder)) is None:
        return "", []
    file, pieces = found
    vocabulary = tokenizer.get_vocab()
    usual = (n for n in range(pieces.get_piece_size()) if not (pieces.is_control(n) or pieces.is_unknown(n)))
    number = next(usual, 0)
    shift = vocabulary.get(pieces.id_to_piece(number), number) - number
    return file, [form for form in FORMS if not _splits_alike(form, tokenizer, pieces, shift)]


def check_pieces_bounded(model: Model) -> None:
    """Check that the SentencePiece model of a folder writes few bytes for a character, before any library applies it.

    Raises:
        ModelError: it does not.
    """
    if (found := _pieces(model.source.folder)) is None:
        return
    from transformers.convert_slow_tokenizer import import_protobuf

    file, pieces = found
    proto = import_protobuf().ModelProto.FromString(pieces.serialized_model_proto())
    if (size := longest_piece(proto.normalizer_spec.precompiled_charsmap)) > LONGEST_PIECE:
        raise ModelError(f"{file} of {model.name} writes {size:,} bytes for a character", hint=DOWNLOAD)


def _splits_alike(word: str, tokenizer: Any, pieces: Any, shift: int) -> bool:
    unknown = tokenizer.unk_token_id
    own = [unknown if pieces.is_unknown(number) else number + shift for number in pieces.encode(word)]
    return bool(own == tokenizer.encode(word, add_special_tokens=False))


def _pieces(folder: Path) -> tuple[str, Any] | None:
    """Return the name and the contents of the SentencePiece model in a folder; None where there is none."""
    import sentencepiece

    path = next((path for file in _PIECES if (path := folder / file).is_file()), None)
    if path is None:
        return None
    try:
        return path.name, sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError:  # `tokenizer.model` may be tiktoken's
        return None


def _require(model: Model, file: str, text: str, token_id: int, found: int | None) -> None:
    if found != token_id:
        other = "none" if found is None else str(found)
        raise ModelError(
            f"the tokenizer of {model.name} is not that of its files: by {file} `{text[:80]}` is id {token_id}, "
            f"by the tokenizer that loads {other}",
            hint="check that all files of the tokenizer are of one model",
        )


def _text_of(token: Any) -> str | None:
    """Return the text of a token that settings spell as a string or an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) and text else None
