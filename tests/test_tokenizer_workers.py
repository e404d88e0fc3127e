"""The model's tokenizer: the store's own tokenizing against transformers', MeCab's dictionary, templates, kinds."""

import json
import random
import shutil
import sys

import pytest

from kotovec.errors import MissingDependencyError, ModelError, StoreError
from kotovec.store.tokenizer import load_tokenizer as load_stored
from kotovec.store.tokens import Kind, Marking, describe, spelled, surface_of, word_initial
from kotovec.workers.model import Model
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import find_template, list_vocabulary, load_tokenizer, save_tokenizer

from models import DATA, JAPANESE, KINDS, make_japanese, make_vocabulary_alone

# ipadic knows it as one word, unidic_lite as two: v1's vocabulary then splits it differently.
LIBRARY = "国立国会図書館"
LIBRARY_IPADIC = ["国立", "国会", "##図", "##書", "##館"]
LIBRARY_UNIDIC = ["国立", "国会", "図書", "館"]


def load(folder, mecab_dic=None):
    return load_tokenizer(Model.read(Source(str(folder), folder)), mecab_dic)


def varied(vocabulary, count, seed=7):
    """Return `count` different strings of 1 to 8 pieces: tokens, Japanese scripts, ASCII, and what trips tokenizers."""
    rng = random.Random(seed)

    def run(first, last, most):
        return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, most)))

    pieces = [
        *[lambda: rng.choice(vocabulary)] * 4,
        lambda: run(0x3041, 0x3096, 5),  # hiragana
        lambda: run(0x30A1, 0x30FA, 6),  # katakana
        lambda: run(0xFF66, 0xFF9F, 5),  # half-width katakana
        lambda: run(0xFF01, 0xFF5E, 5),  # full-width ASCII
        lambda: run(0x4E00, 0x9FFE, 3),  # kanji, most of them rare
        lambda: run(0x20000, 0x2A6DF, 1),  # kanji beyond the basic plane: [UNK]
        lambda: run(0x20, 0x7E, 8),
        lambda: rng.choice("あa女9") * rng.randint(90, 120),  # over 100 characters a word is [UNK]
        lambda: rng.choice(["👑", "👩‍🚀", "🇯🇵", "☃️"]),
        lambda: rng.choice(["[MASK]", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK", "[[mask]]", "<s>", "<mask>"]),
        lambda: rng.choice([" ", "  ", "\n", "\t", "\u3000", "\r\n", "\u00a0", "\u200b", "\u2028", "\x00"]),
        lambda: rng.choice(["か\u3099", "は\u309a", "e\u0301", "㌔", "①", "㍻", "ﷺ", "½", "〜", "−"]),
        lambda: rng.choice(["１２，３４５", "3.14", "Ｃ＋＋", "e-mail", "https://example.jp/?q=王", "##王"]),
    ]
    strings: set[str] = set()
    while len(strings) < count:
        strings.add("".join(rng.choice(pieces)() for _ in range(rng.randint(1, 8))))
    return sorted(strings)


def assert_same_tokens(tokenizer, folder, count):
    save_tokenizer(tokenizer, folder)
    tokenize = load_stored(folder)
    strings = varied(sorted(tokenizer.get_vocab()), count)
    different = [text for text in strings if tokenize(text) != tokenizer.tokenize(text)]
    assert different == []


@pytest.mark.parametrize("name", [*KINDS, "minilm"])
def test_the_store_tokenizes_1000_strings_as_transformers_does(name, tmp_path, tiny_models, request):
    folder = request.getfixturevalue("minilm") if name == "minilm" else tiny_models[name]
    assert_same_tokens(load(folder)[0], tmp_path, 1000)


@pytest.mark.parametrize(
    "options",
    [
        {"subword_tokenizer_type": "character"},
        {"do_lower_case": True},
        {"mecab_kwargs": {"mecab_dic": "ipadic", "normalize_text": False}},
        {"mecab_kwargs": {"mecab_dic": "ipadic", "mecab_option": "-l 1"}},
    ],
)
def test_the_store_follows_every_option_of_a_japanese_tokenizer(options, tmp_path):
    assert_same_tokens(load(japanese(tmp_path / "model", **options))[0], tmp_path / "store", 200)


def test_the_store_takes_added_tokens_whole_as_transformers_does(tmp_path, tiny_models):
    tokenizer, _ = load(tiny_models["japanese-v1"])
    tokenizer.add_tokens(["超電磁砲", "砲台"])
    save_tokenizer(tokenizer, tmp_path)
    for text in ("超電磁砲の砲台", "超電磁の砲", "王超電磁砲台[MASK]"):
        assert load_stored(tmp_path)(text) == tokenizer.tokenize(text)
    assert load_stored(tmp_path)("超電磁砲")[0] == "超電磁砲"


@pytest.mark.parametrize("options", [{"do_word_tokenize": False}, {"do_subword_tokenize": False}])
def test_a_tokenizer_that_only_transformers_can_run_is_named_not_imitated(options, tmp_path):
    save_tokenizer(load(japanese(tmp_path / "model", **options))[0], tmp_path / "store")
    with pytest.raises(StoreError, match="BertJapaneseTokenizer runs only inside transformers"):
        load_stored(tmp_path / "store")


def japanese(folder, name="japanese-v1", **options):
    """Write the tokenizer's files alone; an option of None is left out of tokenizer_config.json."""
    shutil.copytree(DATA / JAPANESE[name], folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | options
    config = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"mecab_kwargs": None},
        {"mecab_kwargs": {}},
        {"mecab_kwargs": {"mecab_option": ""}},
        {"mecab_kwargs": None, "tokenizer_class": None},  # as published: config.json alone names the class
    ],
)
def test_a_config_without_a_dictionary_gets_ipadic_in_the_build_and_in_the_store(options, tmp_path):
    tokenizer, dictionary = load(japanese(tmp_path / "model", **options))
    save_tokenizer(tokenizer, tmp_path / "store")
    assert dictionary == "ipadic"
    assert tokenizer.tokenize(LIBRARY) == LIBRARY_IPADIC
    assert load_stored(tmp_path / "store")(LIBRARY) == LIBRARY_IPADIC


def test_transformers_alone_would_take_the_other_dictionary(tmp_path):
    """The trap itself: when this fails, transformers has changed its default, and ours may go."""
    from transformers import AutoTokenizer

    folder = japanese(tmp_path / "model", mecab_kwargs=None)
    assert AutoTokenizer.from_pretrained(folder).tokenize(LIBRARY) == LIBRARY_UNIDIC


def test_mecab_dic_overrides_the_config_in_the_build_and_in_the_store(tmp_path):
    tokenizer, dictionary = load(japanese(tmp_path / "model"), "unidic_lite")
    save_tokenizer(tokenizer, tmp_path / "store")
    assert dictionary == "unidic_lite"
    assert tokenizer.tokenize(LIBRARY) == load_stored(tmp_path / "store")(LIBRARY) == LIBRARY_UNIDIC


def test_mecab_dic_is_refused_where_there_is_no_mecab_and_where_there_is_no_such_dictionary(tiny_models):
    with pytest.raises(ModelError, match=r"does not use MeCab\nhint: leave out --mecab-dic$"):
        load(tiny_models["bert"], "ipadic")
    with pytest.raises(
        ModelError, match=r"unknown MeCab dictionary `juman`\nhint: choose `ipadic`, `unidic_lite` or `unidic`$"
    ):
        load(tiny_models["japanese-v1"], "juman")


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("japanese-v1", "fugashi", "pip install fugashi"),
        ("japanese-v1", "ipadic", "pip install ipadic"),
        ("japanese-v3", "unidic_lite", "pip install unidic-lite"),
    ],
)
def test_a_missing_dictionary_is_named_with_its_pip_line(name, module, line, tmp_path, tiny_models, monkeypatch):
    tokenizer, _ = load(tiny_models[name])
    save_tokenizer(tokenizer, tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # what Python does for a module that cannot be imported
    with pytest.raises(MissingDependencyError, match=rf"\nhint: install it: {line}$"):
        load(tiny_models[name])
    with pytest.raises(MissingDependencyError, match=rf"\nhint: install it: {line}$"):
        load_stored(tmp_path)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("japanese-v1", {"王": 296, "女": 335, "男": 594, "女王": 5955, "##王": 28772, "": 28443}),
        ("japanese-v3", {"王": 3794, "女": 1620, "男": 3916, "女王": 15941, "##王": 7303, "": 15}),
    ],
)
def test_the_article_s_words_are_single_tokens_and_the_empty_one_is_listed(name, ids, tiny_models):
    tokenizer, _ = load(tiny_models[name])
    tokens = table(tokenizer)
    for text, token_id in ids.items():
        row = tokens.texts.find(text)
        assert (tokens.ids[row], tokens.texts[row]) == (token_id, text)
    kinds = {text: Kind(tokens.kinds[tokens.row_of_id(token_id)]) for text, token_id in ids.items()}
    assert (kinds.pop("##王"), kinds.pop("")) == (Kind.SUBWORD, Kind.EMPTY)
    assert set(kinds.values()) == {Kind.WORD}
    assert tokens.count()["empty"] == 1
    for text in ("子", "王妃", "王子", "王女", "国王", "王国"):
        assert tokens.texts.find(text) is not None
    assert tokenizer.tokenize("##王") != ["##王"]  # hence: look tokens up before tokenizing


def table(tokenizer):
    vocabulary = list_vocabulary(tokenizer)
    return describe(
        vocabulary.ids, vocabulary.texts, vocabulary.special, Marking(vocabulary.marking), vocabulary.unk_id
    )


def test_a_vocabulary_that_its_tokenizer_rewrites_is_noticed(tmp_path, minilm, tiny_models):
    """vocab.txt alone loads as BertTokenizer, which makes か of が: thousands of words change, or none at all."""
    tokenizer, dictionary = load(make_vocabulary_alone(tmp_path / "model"))
    rewritten = dict(list_vocabulary(tokenizer).rewritten)
    assert dictionary is None
    assert 1_000 < len(rewritten) < 32_000
    assert rewritten["が"] == "か"
    for folder in (minilm, *(tiny_models[name] for name in KINDS)):
        assert list_vocabulary(load(folder)[0]).rewritten == []


@pytest.mark.parametrize("name", [*KINDS, "minilm"])
def test_the_template_is_what_the_tokenizer_puts_around_a_text(name, tiny_models, request):
    tokenizer, _ = load(request.getfixturevalue("minilm") if name == "minilm" else tiny_models[name])
    template = find_template(tokenizer)
    bare = tokenizer("king 王", add_special_tokens=False)["input_ids"]
    assert tokenizer("king 王")["input_ids"] == [*template.prefix, *bare, *template.suffix]
    frames = {"gpt2": ((), ()), "roberta": ((0,), (2,)), "xlmr": ((0,), (2,)), "bert": ((3,), (4,))}
    frames |= {"japanese-v1": ((2,), (3,)), "japanese-v3": ((2,), (3,)), "minilm": ((101,), (102,))}
    assert (template.prefix, template.suffix) == frames[name]


@pytest.mark.parametrize("prefix", [[], ["<s>"], ["<s>", "<lang>"]])
@pytest.mark.parametrize("suffix", [[], ["</s>"], ["<lang>", "</s>", "</s>"]])
def test_a_template_of_any_length_is_found(prefix, suffix):
    """T5 has `</s>` alone, LLaMA `<s>` alone, NLLB a language's token beside it."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    ids = {"<s>": 0, "</s>": 1, "<lang>": 2, "a": 3}
    backend = Tokenizer(WordLevel(ids))
    backend.post_processor = TemplateProcessing(
        single=[*prefix, "$A", *suffix], special_tokens=[(text, ids[text]) for text in ids]
    )
    template = find_template(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert template.prefix == tuple(ids[text] for text in prefix)
    assert template.suffix == tuple(ids[text] for text in suffix)


@pytest.mark.parametrize(
    ("name", "marking", "expected"),
    [
        ("bert", "wordpiece", {"king": "word", "##ing": "subword", "[unused3]": "unused", "": "empty"}),
        ("roberta", "bytelevel", {"Ġking": "word", "ing": "subword", "çİĭ": "word", "å": "byte", "Ġ": "empty"}),
        ("gpt2", "bytelevel", {"Ġqueen": "word", "Ġå¥³çİĭ": "word", "åŃ": "byte", "<|endoftext|>": "special"}),
        ("xlmr", "metaspace", {"▁king": "word", "ing": "subword", "王": "word", "▁": "empty", "<s>": "special"}),
        ("japanese-v1", "wordpiece", {"女王": "word", "##王": "subword", "[MASK]": "special"}),
    ],
)
def test_the_marking_of_words_is_told_and_with_it_the_kind_of_each_token(name, marking, expected, tiny_models):
    tokens = table(load(tiny_models[name])[0])
    assert tokens.marking == marking
    kinds = {text: Kind(tokens.kinds[tokens.texts.find(text)]).label for text in expected}
    assert kinds == expected


def test_a_vocabulary_that_marks_the_ends_of_words_or_nothing_is_told(tmp_path):
    from transformers import CLIPTokenizer

    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "k": 2, "i": 3, "ki": 4, "ki</w>": 5}
    tokens = table(CLIPTokenizer(vocab=vocabulary, merges=[("k", "i")]))
    assert tokens.marking == "suffix"
    assert [Kind(kind).label for kind in tokens.kinds[[4, 5]]] == ["subword", "word"]
    characters = load(japanese(tmp_path / "model", subword_tokenizer_type="character"))[0]
    assert list_vocabulary(characters).marking == "none"


@pytest.mark.parametrize("name", ["roberta", "gpt2"])
def test_byte_level_tokens_are_shown_as_the_tokenizer_decodes_them(name, tiny_models):
    """The reference is transformers' decoding; it writes U+FFFD for bytes that are no whole character."""
    tokenizer, _ = load(tiny_models[name])
    tokens = table(tokenizer)
    special = set(tokenizer.all_special_tokens)
    partial = 0
    for text, surface, kind in zip(tokens.texts, tokens.surfaces, tokens.kinds, strict=True):
        if text in special:
            assert surface == text
            continue
        decoded = tokenizer.convert_tokens_to_string([text])
        assert (kind == Kind.BYTE) == ("\ufffd" in decoded)
        if kind == Kind.BYTE:
            partial += 1
        else:
            assert surface.replace("▁", " ").replace("␀", "\0") == decoded
    assert partial > 100
    assert tokens.surfaces[tokens.texts.find("çİĭ")] == "王"


def test_words_are_spelled_as_each_vocabulary_spells_them(tiny_models):
    for name in ("roberta", "gpt2", "xlmr"):
        tokens = table(load(tiny_models[name])[0])
        assert tokens.texts.find(word_initial("king", tokens.marking)) is not None
        row = tokens.texts.find(spelled("王", tokens.marking))
        assert surface_of(tokens.texts[row], tokens.marking) == "王"
    assert word_initial("king", Marking.WORDPIECE) is None
    assert word_initial("king", Marking.SUFFIX) == "king</w>"


def test_a_folder_without_a_tokenizer_is_refused_in_one_line(tmp_path):
    folder = make_japanese(tmp_path / "model", "japanese-v1")
    for file in ("vocab.txt", "tokenizer_config.json"):
        (folder / file).unlink()
    with pytest.raises(ModelError, match="has no tokenizer that transformers can load") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="holds no tokenizer, so only whole tokens can be looked up"):
        load_stored(folder)
