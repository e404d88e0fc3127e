"""Tokenizer and model belong together: rows of the template, special tokens, and what config.json says of them."""

import pytest
from test_tokenizer_files import WORDS, lines, unigram, wordpiece, write
from tokenizers import Tokenizer, models, pre_tokenizers

from kotovec.errors import ModelError
from kotovec.workers import rows

from rays import plan_of


@pytest.mark.parametrize(
    ("tokenizer", "files", "message"),
    [
        (wordpiece(ids=(101, 102)), None, r"has the id 101, the model has the rows 0 to 19"),
        (wordpiece(ids=(3, 2)), None, r"names `\[CLS\]` and gives its id as 3, which is `\[SEP\]`"),
        (wordpiece(ids=(12, 13)), None, r"has the id 12, to which the tokenizer's files give no token"),
        # BertTokenizer puts [CLS] and [SEP] behind a vocabulary that lacks them: untrained rows around every token
        (
            None,
            lines("[PAD]", "[UNK]", "king", "queen"),
            r"has the id \d, to which the tokenizer's files give no token",
        ),
    ],
)
def test_a_template_of_ids_that_are_no_tokens_of_the_model_is_refused(tokenizer, files, message, tmp_path):
    folder = write(tmp_path / "model", 20, tokenizer, files=files)
    with pytest.raises(ModelError, match=message) as caught:
        plan_of(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows", [9, 16])
def test_the_template_of_a_wordpiece_in_a_roberta_is_its_own(rows, tmp_path):
    """transformers gave it RobertaTokenizer's: ids behind the vocabulary, which crashed, or were spare rows."""
    plan = plan_of(write(tmp_path / "model", rows, wordpiece(), model="Roberta", type_vocab_size=1))
    assert (plan.spec.template.prefix, plan.spec.template.suffix) == ((2,), (3,))
    assert (len(plan.tokens), plan.rows_without_token) == (9, rows - 9)


def test_an_unknown_token_that_no_setting_names_is_that_of_the_file(tmp_path):
    """[UNK] was a word, and what is no token was read as it."""
    plan = plan_of(write(tmp_path / "model", 9, wordpiece(), {"tokenizer_class": "PreTrainedTokenizerFast"}))
    assert plan.tokens.unk_id == 1
    assert plan.tokens.kinds[1] == 2
    other = plan_of(write(tmp_path / "unigram", unigram().get_vocab_size(), unigram(), {}))
    assert other.tokens.unk_id == 3


@pytest.mark.parametrize(
    ("tokenizer", "settings", "files", "config", "notices"),
    [
        (wordpiece(), {"pad_token": "[PAD]"}, None, {}, []),
        (
            wordpiece(),
            {"pad_token": "[PAD]"},
            None,
            {"pad_token_id": 1},
            ["config.json says pad_token_id 1, which is `[UNK]`; the tokenizer's `[PAD]` is 0"],
        ),
        (
            wordpiece(),
            {"mask_token": "<mask>"},
            None,
            {},
            ["the tokenizer's settings name `<mask>`, to which its files give no id: it is left out"],
        ),
        (
            None,
            {"mask_token": "<mask>", "do_lower_case": False},
            lines(),
            {},
            ["the tokenizer's settings name `<mask>`, to which its files give no id: it is left out"],
        ),
        (
            wordpiece(template="$A"),
            None,
            None,
            {},
            ["the tokenizer puts no tokens around a text: the model may have been trained with some"],
        ),
        (
            wordpiece(template="$A [SEP]"),
            None,
            None,
            {},
            ["the tokenizer does not put its `[CLS]` before a text: the model may have been trained with it"],
        ),
        (
            wordpiece(),
            {"bos_token": "[CLS]", "add_bos_token": False},
            None,
            {},
            ["tokenizer_config.json says add_bos_token false, tokenizer.json does not: tokenizer.json is followed"],
        ),
        (
            wordpiece(),
            {"split_special_tokens": True, "add_prefix_space": True},
            None,
            {},
            [
                (
                    "tokenizer_config.json says split_special_tokens true, tokenizer.json does not: "
                    "tokenizer.json is followed"
                )
            ],
        ),
    ],
)
def test_what_looks_wrong_is_noticed(tokenizer, settings, files, config, notices, tmp_path):
    plan = plan_of(write(tmp_path / "model", 20, tokenizer, settings, files, **config))
    assert list(plan.notices) == notices
    assert list(plan.tokens.texts) == WORDS


@pytest.mark.parametrize(
    ("step", "prepends"),
    [
        (pre_tokenizers.ByteLevel(add_prefix_space=False), False),
        (pre_tokenizers.ByteLevel(add_prefix_space=True), True),
        (pre_tokenizers.Metaspace(prepend_scheme="never"), False),
        (pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.Metaspace(prepend_scheme="first")]), True),
        (pre_tokenizers.Whitespace(), None),
    ],
)
def test_whether_a_space_is_put_before_a_text_is_read_from_the_tokenizer(step, prepends):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = step
    assert rows._prepends(backend) is prepends


def test_ids_that_are_all_shifted_by_one_are_refused(tmp_path):
    settings = {"bos_token": "[UNK]", "eos_token": "[SEP]", "pad_token": "[PAD]"}
    shifted = {"bos_token_id": 2, "eos_token_id": 4, "pad_token_id": 1}
    folder = write(tmp_path / "model", 20, wordpiece(), settings, **shifted)
    with pytest.raises(ModelError, match=r"shifted by -1: config.json says bos_token_id 2, which is .* is 1"):
        plan_of(folder)


def test_tokens_that_the_tokenizer_adds_and_the_model_has_not_are_noticed(tmp_path):
    own = wordpiece()
    own.add_tokens(["超電磁砲", "砲台"])
    own.add_special_tokens(["[NEW]"])
    settings = {"additional_special_tokens": ["[NEW]"]}
    plan = plan_of(write(tmp_path / "model", 9, own, settings))
    assert plan.notices == (
        "the tokenizer adds `[NEW]` as id 11, for which the model has no row: it is left out",
        "the tokenizer adds 2 tokens for which the model has no row (`超電磁砲`, …): they are left out",
    )
    assert (len(plan.tokens), plan.tokens_without_row) == (9, 3)
