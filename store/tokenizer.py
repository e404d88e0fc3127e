"""The store's own copy of the model's tokenizer: splits a word into tokens without transformers.

For MeCab vocabularies it is fugashi with the recorded dictionary and `tokenizers`' WordPiece (importing
transformers' BertJapaneseTokenizer would cost 5 s and pull in torch); for all others `tokenizer.json`.
"""

import contextlib
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from kotovec.errors import KotovecError, MissingDependencyError, StoreError, choices, first_line, quoted
from kotovec.growth import check_model, growth_of
from kotovec.mecab import DICTIONARIES, is_harmless
from kotovec.panics import panics_as
from kotovec.store import checksum
from kotovec.store.files import read_regular

MOST_BYTES = 1 << 30  # of a file; the largest tokenizer.json have some 75 MB
Tokenize = Callable[[str], list[str]]


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, by its path below it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum.of_file(path) for path in files}


class Tokenizer:
    """Splits a text into the texts of tokens; into none where they cannot spell it.

    Raises:
        StoreError: the files turn out to be damaged.
    """

    def __init__(self, folder: Path, tokenize: Tokenize) -> None:
        self._folder, self._tokenize = folder, tokenize

    def __call__(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        with _naming_damage(self._folder):
            return self._tokenize(text)

    def many(self, texts: Iterable[str]) -> list[list[str]]:
        """Return the tokens of each of some texts: a panic is guarded against once, which takes longer than a word."""
        with _naming_damage(self._folder):
            return list(map(self._tokenize, texts))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of a store or a model, which needs no transformers.

    Args:
        folder: the folder that the model's tokenizer was saved to.

    Raises:
        StoreError: the files are missing, or belong to a tokenizer that only transformers can run.
        MissingDependencyError: fugashi or the MeCab dictionary is not installed.
    """
    with _naming_damage(folder):
        return Tokenizer(folder, _load(folder))


@contextlib.contextmanager
def _naming_damage(folder: Path) -> Iterator[None]:
    """Raise a StoreError in place of whatever a damaged tokenizer raises: `tokenizers` has no error class, and panics.

    Settings may have parts of other types than transformers saves.
    """
    try:
        with panics_as(lambda reason: _damaged(folder, reason)):
            yield
    except (KotovecError, ImportError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(folder, first_line(error)) from error


def _damaged(folder: Path, reason: str) -> StoreError:
    return StoreError(f"{folder} holds a damaged tokenizer ({reason}), so only whole tokens can be looked up")


def _load(folder: Path) -> Tokenize:
    if (folder / "tokenizer.json").is_file():
        return _from_json(folder / "tokenizer.json")
    try:
        config = json.loads(read_regular(folder / "tokenizer_config.json", MOST_BYTES))
        if not isinstance(config, dict):
            raise ValueError("no object")  # noqa: TRY004, TRY301 — reported below
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{folder} holds no tokenizer, so only whole tokens can be looked up") from error
    word, subword = config.get("word_tokenizer_type"), config.get("subword_tokenizer_type", "wordpiece")
    added = [entry for entry in config.get("added_tokens_decoder", {}).values() if isinstance(entry, dict)]
    # Options that no published model with MeCab has, and that split text differently from the code below.
    unusual = any(entry.get("single_word") for entry in added) or False in (
        config.get("do_word_tokenize"),
        config.get("do_subword_tokenize"),
    )
    if word != "mecab" or subword not in ("wordpiece", "character") or unusual:
        name = config.get("tokenizer_class", "this tokenizer")
        raise StoreError(
            f"{name} runs only inside transformers, so only whole tokens can be looked up here",
            hint="write a word as the sum of its tokens",
        )
    vocabulary = _vocabulary(folder)
    unknown = _text_of(config.get("unk_token", "[UNK]"))
    split: Tokenize
    if subword == "wordpiece":
        split = _wordpiece(vocabulary, unknown)
    else:

        def split(text: str) -> list[str]:
            return [char if char in vocabulary else unknown for char in unicodedata.normalize("NFKC", text)]

    return _mecab(config, split)


def mecab_options(dictionary: str | None, options: str | None) -> str:
    """Return MeCab's arguments for a dictionary by the name that transformers uses.

    Raises:
        StoreError: the dictionary is unknown, or an option could do more than weigh words.
        MissingDependencyError: the dictionary's package is not installed.
    """
    if not is_harmless(options):
        reason = f"the tokenizer gives MeCab the options {quoted(str(options)[:80])}"
        raise StoreError(f"{reason}, so only whole tokens can be looked up")
    if dictionary is None:
        return options or ""
    import importlib

    if dictionary not in DICTIONARIES:
        raise StoreError(f"unknown MeCab dictionary {quoted(dictionary)}", hint=f"choose {choices(DICTIONARIES)}")
    try:
        path = importlib.import_module(dictionary).DICDIR
    except ImportError as error:
        package = dictionary.replace("_", "-")
        raise MissingDependencyError(
            f"the MeCab dictionary {dictionary} is missing", hint=f"install it: pip install {package}"
        ) from error
    return f'-d "{path}" -r "{Path(path) / "mecabrc"}" {options or ""}'


def _from_json(path: Path) -> Tokenize:
    from tokenizers import Tokenizer as Rust

    try:
        content = read_regular(path, MOST_BYTES)
        growth = growth_of(content, Rust.from_str)
        tokenizer = Rust.from_buffer(content)  # from_file accepts only paths in UTF-8
        check_model(tokenizer.model)
    except Exception as error:  # tokenizers has no error class of its own
        raise StoreError(
            f"{path} cannot be read ({first_line(error)}), so only whole tokens can be looked up"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.post_processor = None  # no special token is wanted, and a template may repeat the text

    is_spelled = spells(tokenizer)
    # The tokenizer shows these as it normalized them: 超電磁砲 with spaces, where BERT's splits kanji.
    added = {
        token_id: token.content for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.normalized
    }

    def tokenize(text: str) -> list[str]:
        growth.check(len(text.encode("utf-8", "replace")))
        try:
            encoded = tokenizer.encode(text, add_special_tokens=False)
        except Exception as error:
            if re.search(r"unk|missing", str(error), re.IGNORECASE):  # it knows no token for what it does not know
                return []
            raise
        tokens = [added.get(token_id, token) for token_id, token in zip(encoded.ids, encoded.tokens, strict=True)]
        return tokens if is_spelled(text) else []

    return tokenize


def leaves_out(tokenizer: Any) -> bool:
    """Return whether a tokenizer may leave out characters of a text: BPE without an unknown token, or without a byte.

    It would read king😀 as king. Most vocabularies of bytes have all 256.
    """
    model = tokenizer.model
    if type(model).__name__ != "BPE" or model.unk_token is not None:
        return False
    from tokenizers.pre_tokenizers import ByteLevel

    stage = tokenizer.pre_tokenizer
    of_bytes = stage is not None and b'"ByteLevel"' in stage.__getstate__()
    return not (of_bytes and all(tokenizer.token_to_id(char) is not None for char in ByteLevel.alphabet()))


def spells(tokenizer: Any) -> Callable[[str], bool]:
    """Return a function that checks whether a tokenizer has a token for every character of a text."""
    model = tokenizer.model
    if not leaves_out(tokenizer):
        return lambda _: True
    prefix, suffix = model.continuing_subword_prefix or "", model.end_of_word_suffix or ""
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    pattern = re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True))) or r"(?!)")

    def known(word: str, index: int) -> bool:
        spelled = (prefix if index else "") + word[index] + (suffix if index == len(word) - 1 else "")
        if tokenizer.token_to_id(spelled) is not None:
            return True
        octets = word[index].encode("utf-8", "replace") if model.byte_fallback else b""
        return bool(octets) and all(tokenizer.token_to_id(f"<0x{octet:02X}>") is not None for octet in octets)

    def whole(word: str) -> bool:
        return model.ignore_merges and tokenizer.token_to_id(word) is not None

    def spells(text: str) -> bool:
        for part in filter(None, pattern.split(text)):
            normal = part if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(part)
            words = [normal]
            if tokenizer.pre_tokenizer is not None:
                words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)]
            if not all(whole(word) or known(word, index) for word in words for index in range(len(word))):
                return False
        return True

    return spells


def _mecab(config: dict[str, Any], split: Tokenize) -> Tokenize:
    """Return a function that splits as BertJapaneseTokenizer: special tokens, NFKC, MeCab's words, then subwords."""
    try:
        import fugashi
    except ImportError as error:
        raise MissingDependencyError("MeCab is missing", hint="install it: pip install fugashi") from error
    mecab = config.get("mecab_kwargs") or {}
    try:
        tagger = fugashi.GenericTagger(mecab_options(mecab.get("mecab_dic", "unidic_lite"), mecab.get("mecab_option")))
    except RuntimeError as error:
        raise MissingDependencyError(f"MeCab does not start ({first_line(error)})") from error
    specials = [
        entry["content"]
        for entry in config.get("added_tokens_decoder", {}).values()
        if isinstance(entry, dict) and entry.get("content")
    ]
    specials += [_text_of(config[name]) for name in config if name.endswith("_token") and config[name]]
    # The longest first: of two special tokens that begin at one position, transformers takes the longer.
    longest_first = sorted(set(specials), key=len, reverse=True)
    pattern = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
    lower = bool(config.get("do_lower_case"))
    normal = mecab.get("normalize_text", True)

    def words(text: str) -> list[str]:
        text = unicodedata.normalize("NFKC", text) if normal else text
        surfaces = [word.surface for word in tagger(text)]
        return [surface.lower() for surface in surfaces] if lower else surfaces

    def tokenize(text: str) -> list[str]:
        tokens: list[str] = []
        for piece in filter(None, pattern.split(text) if specials else [text]):
            if piece in specials:
                tokens.append(piece)
            else:
                tokens += [token for word in words(piece) for token in split(word)]
        return tokens

    return tokenize


def _wordpiece(vocabulary: dict[str, int], unknown: str) -> Tokenize:
    from tokenizers.models import WordPiece

    model = WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=100)
    check_model(model)

    def split(text: str) -> list[str]:
        return [token.value for part in text.split() for token in model.tokenize(part)]

    return split


def _vocabulary(folder: Path) -> dict[str, int]:
    try:
        text = read_regular(folder / "vocab.txt", MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{folder} holds no vocab.txt, so only whole tokens can be looked up") from error
    # Lines as a file in text mode has them, which also end in \r; not those of `splitlines`, which ends at U+2028.
    lines = io.StringIO(text, newline=None)
    return {line.rstrip("\n"): number for number, line in enumerate(lines)}


def _text_of(token: Any) -> str:
    """Return the text of a token that a tokenizer's configuration spells as a string or an object."""
    return str(token["content"]) if isinstance(token, dict) else str(token)
