"""Tokenizers whose rules make a text longer and longer: one line says so, and no memory is taken for it."""

import base64
import json
import shutil
import struct
import sys
import unicodedata

import pytest
from tokenizers import Tokenizer

from kotovec import growth
from kotovec.errors import ModelError, UnknownTokenError
from kotovec.growth import MOST_BYTES, longest_piece
from kotovec.store import Store

from commands import make_store, start
from models import make_xlmr
from rays import plan_of

TEN = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
MARK = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}


def growth_of(content: bytes) -> growth.Growth:
    return growth.growth_of(content, Tokenizer.from_str)


def sequence(kind, rules):
    return {"type": "Sequence", kind: rules}


def template(single, **tokens):
    specials = {name: {"id": name, "ids": ids, "tokens": [name] * len(ids)} for name, ids in tokens.items()}
    pair = [TEXT, {"Sequence": {"id": "B", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials}


def charsmap(size):
    return base64.b64encode(struct.pack("<I", 4) + b"\0" * 4 + b"x\0" + b"y" * size + b"\0").decode()


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
SPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
LETTERS = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
NORMALIZERS = {
    "replace": sequence("normalizers", [TEN] * 12),
    "nested": sequence("normalizers", [sequence("normalizers", [sequence("normalizers", [TEN] * 3)] * 2)] * 2),
    "without types": {"normalizers": [{key: TEN[key] for key in ("pattern", "content")}] * 12},
    "empty pattern": sequence("normalizers", [TEN | {"pattern": {"Regex": "x*"}, "content": "a" * 100}] * 4),
    "look ahead": sequence("normalizers", [TEN | {"pattern": {"Regex": "(?=a)"}}] * 12),
    "alternative": sequence("normalizers", [TEN | {"pattern": {"Regex": "b|"}}] * 12),
    **{
        f"empty by {pattern}": sequence("normalizers", [TEN | {"pattern": {"Regex": pattern}, "content": "b"}] * 18)
        for pattern in ("a+*", "a+?", "a+{0}", "a{1}{0}", "a{1}?", "a{1,0}", "a{1,2}*", r"\p{L}(?#x)*", "[ab]{0,2}")
    },
    "empty text": sequence("normalizers", [TEN | {"pattern": {"String": ""}}] * 12),
    "byte level": sequence("normalizers", [{"type": "ByteLevel"}] * 40),
    "ligatures": sequence("normalizers", [TEN | {"content": "\ufdfa"}, {"type": "NFKC"}] * 9),
    "prepend": sequence("normalizers", [{"type": "Prepend", "prepend": "a" * 10**6}, TEN]),
}
SPLITTERS = {
    "byte level": sequence("pretokenizers", [BYTES] * 40),
    "letters with a sign": sequence("pretokenizers", [LETTERS, SPACE, LETTERS, SPACE | {"replacement": "_"}] * 10),
}
CHANGES = [({"normalizer": rule}, name) for name, rule in NORMALIZERS.items()]
CHANGES += [({"pre_tokenizer": rule}, name) for name, rule in SPLITTERS.items()]


@pytest.fixture
def model(tmp_path, tiny_models):
    return shutil.copytree(tiny_models["bert"], tmp_path / "model")


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", ["Unigram", "\\u0055nigram"])
def test_a_tree_of_pieces_is_not_grown_to_gigabytes(name):
    """A million pieces of 49 bytes, 68 MB, took more than 14 GB."""

    def content(count):
        pieces = [["<unk>", 0.0], *([f"▁{number:07}{'x' * 500}", -8.0] for number in range(count))]
        text = json.dumps({"version": "1.0", "model": {"type": "U", "unk_id": 0, "vocab": pieces}})
        return text.replace('"U"', f'"{name}"').encode()

    assert growth_of(content(32_000)).split == 1  # 15.6 MB of pieces
    with pytest.raises(ValueError, match="its pieces have 16 MB, and 16 MB are read"):
        growth_of(content(34_000))


@pytest.mark.parametrize("changes", [each for each, _ in CHANGES], ids=[name for _, name in CHANGES])
def test_rules_that_multiply_a_text_are_refused_before_they_are_applied(tmp_path, model, changes):
    change(model / "tokenizer.json", **changes)
    with pytest.raises(ModelError, match=r"tokenizer.json is damaged \(its rules may make a text \S+ times as long\)"):
        plan_of(model)
    store = make_store(tmp_path / "s.kotovec")
    change(store / "tokenizer" / "tokenizer.json", **changes)
    with pytest.raises(UnknownTokenError, match=r"its rules may make a text \S+ times as long"):
        Store.open(store).search("kaaangs")
    assert Store.open(store).search("king").hits[0].token == "king"


def test_the_command_says_so_in_one_line(tmp_path):
    store = make_store(tmp_path / "s.kotovec")
    change(store / "tokenizer" / "tokenizer.json", normalizer=NORMALIZERS["replace"])
    asked = start("query", "banana", "--store", store)
    assert (asked.returncode, asked.stdout, len(asked.stderr.splitlines())) == (2, "", 1)
    assert "its rules may make a text 1e+12 times as long" in asked.stderr


def test_a_text_that_would_become_too_long_is_refused_and_a_short_one_is_split(tmp_path):
    store = make_store(tmp_path / "s.kotovec")
    change(store / "tokenizer" / "tokenizer.json", normalizer=sequence("normalizers", [TEN] * 5))
    opened = Store.open(store)
    with pytest.raises(UnknownTokenError, match="may make more than 64 MB of a text of 1,000 bytes"):
        opened.search("a" * 1000)
    assert opened.search("kings").hits


@pytest.mark.parametrize("normalized", [{"normalized": True}, {}])
def test_added_tokens_are_normalized_as_the_file_is_read(model, normalized):
    token = {"id": 7, "content": "a" * 10**6, "single_word": False, "lstrip": False, "rstrip": False, "special": False}
    change(model / "tokenizer.json", added_tokens=[token | normalized], normalizer=sequence("normalizers", [TEN] * 4))
    with pytest.raises(ModelError, match="its rules may make more than 64 MB of its added tokens"):
        plan_of(model)


def test_tokens_that_other_files_add_are_normalized_too(model):
    rules = sequence("normalizers", [TEN | {"pattern": {"String": "z"}}] * 4)
    change(model / "tokenizer.json", normalizer=rules)
    (model / "added_tokens.json").write_text(json.dumps({"z" * 10**6: 10**6}))
    with pytest.raises(ModelError, match="its rules may make more than 64 MB of its added tokens"):
        plan_of(model)


@pytest.mark.parametrize(
    "processor",
    [
        template([MARK] * 100 + [TEXT], **{"[CLS]": [3] * 100}),
        sequence("processors", [template([TEXT] * 2)] * 20),
        sequence("processors", [sequence("processors", [template([TEXT] * 100)])] * 3),
    ],
)
def test_a_template_puts_few_ids_around_a_text(tmp_path, model, processor):
    change(model / "tokenizer.json", post_processor=processor)
    with pytest.raises(ModelError, match="it may put more than 4,096 ids around a text"):
        plan_of(model)


def test_a_store_applies_no_template(tmp_path):
    store = make_store(tmp_path / "s.kotovec")
    change(store / "tokenizer" / "tokenizer.json", post_processor=template([TEXT, TEXT]))
    assert list(Store.open(store).search("kings").terms[0].tokens) == ["king", "##s"]


@pytest.mark.parametrize("name", ["unk_token", "continuing_subword_prefix"])
def test_what_a_vocabulary_adds_to_every_piece_is_short(tmp_path, model, name):
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"][name] = long = "x" * 5000
    if name == "unk_token":
        content["model"]["vocab"][long] = len(content["model"]["vocab"])
    (model / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"its {name} has 5,000 characters"):
        plan_of(model)


def test_a_map_of_characters_writes_few_bytes_for_one():
    content = json.dumps({"normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap(2 * 10**6)}})
    with pytest.raises(ValueError, match=r"make a text 2e\+06 times as long"):
        growth_of(content.encode())
    assert longest_piece(base64.b64decode(charsmap(777))) == 777
    assert longest_piece(b"") == 0


def test_the_sentencepiece_model_of_a_stranger_writes_few_bytes_for_a_character(tmp_path):
    from sentencepiece import SentencePieceTrainer, sentencepiece_model_pb2

    folder = make_xlmr(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (tmp_path / "corpus").write_text("the king and the queen\n" * 50 + "a man and a woman\n" * 50)
    SentencePieceTrainer.train(
        input=str(tmp_path / "corpus"), model_prefix=str(tmp_path / "m"), vocab_size=20, minloglevel=2
    )
    proto = sentencepiece_model_pb2.ModelProto.FromString((tmp_path / "m.model").read_bytes())
    assert longest_piece(proto.normalizer_spec.precompiled_charsmap) == 33
    proto.normalizer_spec.precompiled_charsmap += b"a" * 10**6 + b"\0"
    (folder / "sentencepiece.bpe.model").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"sentencepiece.bpe.model of \S+ writes 1,000,000 bytes for a character"):
        plan_of(folder)


def test_no_other_file_stands_in_for_tokenizer_json(model):
    """transformers reads `tokenizer.4.0.0.json` where a config says so, and nothing would have checked or hashed it."""
    (model / "tokenizer.json").rename(model / "tokenizer.4.0.0.json")
    (model / "vocab.txt").unlink(missing_ok=True)
    change(model / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(ModelError, match="names other files in place of a tokenizer.json"):
        plan_of(model)


# ---- what is read of the file


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("last", [True, False])
def test_rules_are_found_wherever_they_are(indent, last):
    rules = {"normalizer": NORMALIZERS["replace"]}
    model = {"model": {"type": "WordLevel", "vocab": {'"model"': 0, "normalizer": 1}, "unk_token": "normalizer"}}
    content = {"version": "1.0", **(model | rules if last else rules | model)}
    for text in (json.dumps(content, indent=indent), json.dumps({"added_tokens": [], **content})):
        for written in (text, text.replace('"normalizer": {', '"n\\u006frmalizer": {')):
            with pytest.raises(ValueError, match=r"times as long"):
                growth_of(written.encode())


def test_the_last_of_several_rules_of_a_name_counts_as_in_the_library():
    harmless = '{"version": "1.0", "normalizer": {"type": "NFC"}, "model": {}, '
    with pytest.raises(ValueError, match=r"times as long"):
        growth_of(f'{harmless}"normalizer": {json.dumps(NORMALIZERS["replace"])}}}'.encode())
    nested = json.dumps(NORMALIZERS["replace"]).replace('{"type": "Sequence"', '{"normalizers": [], "type": "Sequence"')
    with pytest.raises(ValueError, match=r"times as long"):
        growth_of(f'{{"normalizer": {nested}}}'.encode())


@pytest.mark.parametrize(
    ("pattern", "times"),
    [
        (" {2,}", 1),
        (r"\s+", 1),
        ("[ab]", 1),
        (r"\p{Han}", 1),
        ("a{0,2}", 3),
        ("a?", 3),
        ("a*", 3),
        (r"a\Kb", 3),
        ("a\n|", 3),
        ("(a)", 3),
        (".?", 3),
        (r"\b", 3),
        ("[a&&b]*", 3),
    ],
)
def test_patterns_that_may_match_nothing_write_everywhere(pattern, times):
    rule = TEN | {"pattern": {"Regex": pattern}, "content": "_"}
    assert growth_of(json.dumps({"normalizer": rule}).encode()).split == times


def test_no_character_grows_more_than_its_form():
    """Those that change at all, as Python sees it; the library's tables are of about the same year."""
    from tokenizers import normalizers

    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    some = [
        char
        for char in characters
        if unicodedata.normalize("NFKD", char) != char or char.lower() != char or "\u4e00" <= char < "\u4e80"
    ]
    assert len(some) > 10_000
    largest = {}
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "BertNormalizer", "Nmt", "StripAccents", "ByteLevel"):
        change = getattr(normalizers, name)().normalize_str
        largest[name] = max(len(change(char).encode()) / len(char.encode()) for char in some)
    assert largest == {name: growth._UNICODE[name] for name in largest}


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr", "gpt2", "japanese-v3"])
def test_usual_tokenizers_are_far_from_the_limits(kind, tiny_models):
    path = tiny_models[kind] / "tokenizer.json"
    if not path.is_file():
        pytest.skip("without a tokenizer.json")
    found = growth_of(path.read_bytes())
    assert 1 <= found.normalized <= found.split <= 200
    found.check(100_000)
    with pytest.raises(ValueError, match="64 MB"):
        found.check(MOST_BYTES + 1)
