"""The tokenizer's own files are the truth: where transformers differs, they are taken, or the model is refused."""

import json

import pytest
from tokenizers import Tokenizer, normalizers, processors
from tokenizers import models as algorithms
from tokenizers import pre_tokenizers as splitters
from vocabularies import WORDS, digits, fallback, lines, pieces, unigram, wordpiece, write

from kotovec.errors import ModelError
from kotovec.store.tokenizer import load_tokenizer as load_stored
from kotovec.workers.model import Model
from kotovec.workers.source import Source
from kotovec.workers.tokenizer import find_template, list_vocabulary, load_tokenizer, save_tokenizer

from rays import plan_of

GPT2 = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64}
XLMR = {"type_vocab_size": 1, "pad_token_id": 1}
ROLES = {"unk_token": "<unk>", "sep_token": "</s>", "cls_token": "<s>", "pad_token": "<pad>", "do_lower_case": True}


@pytest.mark.parametrize(
    ("make", "settings", "model", "config", "texts", "template", "unknown"),
    [
        (digits, {"tokenizer_class": "GPT2Tokenizer"}, "GPT2", GPT2, ["2024 king", "20"], ((), ()), -1),
        (
            unigram,
            {"tokenizer_class": "RobertaTokenizer"},
            "XLMRoberta",
            XLMR,
            ["kingdom", "the King", "女王と男"],
            ((0,), (2,)),
            3,
        ),
        (unigram, ROLES, "Bert", {}, ["kingdom", "the King", "King"], ((0,), (2,)), 3),
        (fallback, {"tokenizer_class": "LlamaTokenizerFast"}, "Bert", {}, ["ki", "ｶﾞ男"], ((), ()), 0),
        (wordpiece, None, "Roberta", {"type_vocab_size": 1}, ["kings", "a queen"], ((2,), (3,)), 1),
    ],
)
def test_a_tokenizer_json_is_used_as_it_stands(make, settings, model, config, texts, template, unknown, tmp_path):
    """transformers 5 built each of these from a class: other pieces, other ids, invented ids around every token."""
    own = make()
    plan = plan_of(write(tmp_path / "model", own.get_vocab_size(), own, settings, model=model, **config))
    save_tokenizer(plan.tokenizer, tmp_path / "store")
    stored = load_stored(tmp_path / "store")
    assert {token_id: text for text, token_id in own.get_vocab().items()} == dict(
        zip(plan.tokens.ids.tolist(), plan.tokens.texts, strict=True)
    )
    assert (plan.spec.template.prefix, plan.spec.template.suffix) == template
    assert plan.tokens.unk_id == unknown
    for text in texts:
        assert stored(text) == own.encode(text, add_special_tokens=False).tokens


def test_what_transformers_makes_of_them_differs(tmp_path):
    """The trap itself: when this fails, transformers reads tokenizer.json whole."""
    from transformers import AutoTokenizer

    own = digits()
    folder = write(tmp_path / "model", 260, own, {"tokenizer_class": "GPT2Tokenizer"}, model="GPT2", **GPT2)
    rebuilt = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert own.encode("2024").tokens == ["2", "0", "2", "4"]
    assert rebuilt.tokenize("2024") == ["20", "2", "4"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_lines_of_a_vocab_txt_are_its_rows(end, tmp_path):
    """Also the second of two equal ones, blank ones, and one with a blank at its end, which tokenizers cuts."""
    words = [*WORDS, "queen", "", "a ", "\u3000", "\x85", "\u2028", "é", "e\u0301"]
    folder = write(tmp_path / "model", len(words), files={"vocab.txt": "".join(word + end for word in words)})
    tokens = plan_of(folder).tokens
    assert tokens.ids.tolist() == list(range(len(words)))
    assert list(tokens.texts) == words
    assert tokens.texts.find("a") == 7
    assert tokens.texts.find("queen") == 9


@pytest.mark.parametrize(
    ("files", "tokenizer", "message"),
    [
        (
            lines(*WORDS[:5], "queen", "king", "a", "##s"),
            wordpiece(),
            "by vocab.txt `queen` is id 5, by the tokenizer that loads 6",
        ),
        (
            lines() | {"added_tokens.json": '{"超電磁砲": 12}'},
            None,
            "by added_tokens.json `超電磁砲` is id 12, by the tokenizer that loads 9",
        ),
        (
            {"added_tokens.json": '{"超電磁砲": 5}'},
            wordpiece(),
            "by added_tokens.json `超電磁砲` is id 5, by the tokenizer that loads none",
        ),
        (
            {"tokenizer_config.json": '{"added_tokens_decoder": {"6": {"content": "king"}}}'},
            wordpiece(),
            "by tokenizer_config.json `king` is id 6, by the tokenizer that loads 5",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(files, tokenizer, message, tmp_path):
    folder = write(tmp_path / "model", 20, tokenizer, files=files)
    with pytest.raises(ModelError, match=message) as caught:
        plan_of(folder)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_json_whose_ids_contradict_themselves_is_refused(tmp_path):
    own = wordpiece()
    own.add_tokens(["超電磁砲"])
    folder = write(tmp_path / "model", 30, own)
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    whole["added_tokens"][0]["id"] = 20
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(ModelError, match=r"by tokenizer.json `超電磁砲` is id 20, by the tokenizer that loads 9"):
        plan_of(folder)
    whole["added_tokens"], whole["model"]["vocab"]["new"] = [], 5
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(ModelError, match="gives id 5 to `king` and to `new`"):
        plan_of(folder)


@pytest.mark.parametrize("tokenizer", [wordpiece(), None])
def test_added_tokens_with_an_id_in_another_file_are_tokens(tokenizer, tmp_path):
    decoder = {"10": {"content": "[NEW]", "special": True}, "9": {"content": "超電磁砲", "special": False}}
    folder = write(tmp_path / "model", 11, tokenizer, {"added_tokens_decoder": decoder}, None if tokenizer else lines())
    plan = plan_of(folder)
    assert list(plan.tokens.texts)[9:] == ["超電磁砲", "[NEW]"]
    assert plan.tokens.kinds[9:].tolist() == [0, 2]
    save_tokenizer(plan.tokenizer, tmp_path / "store")
    assert load_stored(tmp_path / "store")("a超電磁砲") == ["a", "超電磁砲"]


def test_tokens_added_beside_bytes_are_texts(tmp_path):
    """café is spelled in signs that also stand for bytes, and was shown as caf\\xe9."""
    own = digits()
    own.add_tokens(["café", "日本"])
    own.add_special_tokens(["<|é|>"])
    tokens = plan_of(write(tmp_path / "model", own.get_vocab_size(), own, model="GPT2", **GPT2)).tokens
    assert list(tokens.surfaces)[-3:] == ["café", "日本", "<|é|>"]
    assert tokens.kinds[-3:].tolist() == [0, 0, 2]
    assert tokens.surfaces[tokens.texts.find("Ġ")] == "▁"


FAIRSEQ = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
LUKE = {"entity_vocab_size": 9, "entity_emb_size": 8}


def test_ids_that_no_file_lists_are_those_of_the_pieces_or_shifted(tmp_path):
    own = pieces(tmp_path, "sentencepiece.bpe.model")
    files, settings = (tmp_path / "sentencepiece.bpe.model").read_bytes(), {"tokenizer_class": "XLMRobertaTokenizer"}
    folder = write(tmp_path / "m", own.get_piece_size() + 2, None, settings, model="XLMRoberta", **FAIRSEQ)
    (folder / "sentencepiece.bpe.model").write_bytes(files)
    plan = plan_of(folder)
    texts = list(plan.tokens.texts)
    assert texts[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert texts[4:-1] == [own.id_to_piece(number) for number in range(3, own.get_piece_size())]
    assert plan.notices == ()


@pytest.mark.parametrize(
    ("settings", "model", "config", "message"),
    [
        # every token had its neighbour's row
        ("MLukeTokenizer", "Luke", FAIRSEQ | LUKE, "has other ids: config.json says bos_token_id 0, which is `<unk>`"),
        ("LlamaTokenizer", "XLMRoberta", FAIRSEQ, r"splits \d of \d words otherwise than sentencepiece.bpe.model"),
    ],
)
def test_ids_and_words_of_another_model_s_class_are_refused(settings, model, config, message, tmp_path):
    rows = pieces(tmp_path, "sentencepiece.bpe.model").get_piece_size() + 2
    folder = write(tmp_path / "model", rows, None, {"tokenizer_class": settings}, model=model, **config)
    for name in ("sentencepiece.bpe.model", "tokenizer.model"):
        (folder / name).write_bytes((tmp_path / "sentencepiece.bpe.model").read_bytes())
    if settings == "MLukeTokenizer":
        (folder / "entity_vocab.json").write_text('{"[MASK]": 0, "[PAD]": 1, "[UNK]": 2, "[MASK2]": 3}')
    with pytest.raises(ModelError, match=message):
        plan_of(folder)


def test_a_tokenizer_that_knows_no_text_has_a_template(tmp_path):
    """Any text made a bare exception of tokenizers', by which the template was found."""
    own = Tokenizer(algorithms.WordLevel({"<pad>": 0, "king": 1, "queen": 2}, unk_token="[UNK]"))
    own.post_processor = processors.BertProcessing(("queen", 2), ("king", 1))
    folder = write(tmp_path / "model", 3, own, {"tokenizer_class": "PreTrainedTokenizerFast"})
    model = Model.read(Source("model", folder))
    tokenizer, _ = load_tokenizer(model)
    template = find_template(tokenizer)
    assert (template.prefix, template.suffix) == ((1,), (2,))
    assert list_vocabulary(tokenizer, model).unk_id == -1


def test_a_vocab_txt_that_the_class_does_not_read_is_named(tmp_path):
    folder = write(tmp_path / "model", 9, files=lines(), model="Roberta", type_vocab_size=1)
    with pytest.raises(ModelError, match="transformers' RobertaTokenizer does not read its vocab.txt"):
        plan_of(folder)


@pytest.mark.parametrize(
    ("prefix", "marking", "kinds"), [("##", "wordpiece", [0, 1]), ("@@", "none", [0, 0]), ("", "none", [0, 0])]
)
def test_the_marking_is_that_of_the_file(prefix, marking, kinds, tmp_path):
    own = wordpiece(continuing_subword_prefix=prefix)
    tokens = plan_of(write(tmp_path / "model", 9, own)).tokens
    assert tokens.marking == marking
    assert tokens.kinds[-2:].tolist() == kinds


def stored(tokenizer, folder):
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return load_stored(folder)


def spelled(**options):
    """BPE without an unknown token over the letters of `king`."""
    vocabulary = {char: number for number, char in enumerate(["k", "i", "n", "g", "ki", "x"])}
    return Tokenizer(algorithms.BPE(vocabulary, [("k", "i")], **options))


def test_a_character_that_a_tokenizer_would_leave_out_makes_a_text_unknown(tmp_path):
    """king😀 was read as king."""
    plain = spelled()
    plain.normalizer, plain.pre_tokenizer = normalizers.Lowercase(), splitters.Whitespace()
    plain.add_tokens(["<😀>"])
    read = stored(plain, tmp_path / "plain")
    assert plain.encode("king😀").tokens == ["ki", "n", "g"]
    assert read("king😀") == []
    assert read("KING king") == ["ki", "n", "g", "ki", "n", "g"]
    assert read("king<😀>x") == ["ki", "n", "g", "<😀>", "x"]
    assert stored(spelled(unk_token="x"), tmp_path / "unknown")("k😀") == ["k", "x"]


def test_a_byte_level_text_of_bytes_that_the_vocabulary_lacks_is_unknown(tmp_path):
    own = spelled()
    own.pre_tokenizer = splitters.ByteLevel(add_prefix_space=False)
    read = stored(own, tmp_path / "store")
    assert own.encode("kin王").tokens == ["ki", "n"]
    assert (read("kin"), read("kin王")) == (["ki", "n"], [])


@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.WordPiece({"king": 0}, unk_token="[UNK]"),
        algorithms.WordLevel({"king": 0}, unk_token="[UNK]"),
        algorithms.Unigram([("king", 0.0)]),
        algorithms.BPE({"king": 0}, [], unk_token="[UNK]"),
    ],
)
def test_a_text_is_unknown_where_the_tokenizer_lacks_its_unknown_token(algorithm, tmp_path):
    """tokenizers raises a bare exception, with which the command ended."""
    assert stored(Tokenizer(algorithm), tmp_path / "store")("王") == []


def test_a_tokenizer_json_beside_mecab_must_have_the_same_ids(tmp_path):
    settings = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": "mecab",
        "mecab_kwargs": {"mecab_dic": "ipadic"},
    }
    folder = write(tmp_path / "model", 9, wordpiece(), settings, lines())
    assert load_tokenizer(Model.read(Source("model", folder)))[1] == "ipadic"
    other = write(tmp_path / "other", 9, wordpiece([*WORDS[:5], "queen", "king", *WORDS[7:]]), settings, lines())
    with pytest.raises(ModelError, match=r"by tokenizer.json `queen` is id 5, by the tokenizer that loads 6"):
        load_tokenizer(Model.read(Source("other", other)))
