"""The sentences of a report, in English and in Japanese."""

from kotovec.errors import InputError, choices, quoted

ENGLISH = {
    "title": "Report on {stores}",
    "command": "Command",
    "commands": "Commands",
    "expression": "{expression} in every space",
    "expression_note": "Nearest tokens by squared L2 distance, without the inputs. The ranks of"
    " {target} count every token"
    " that may be an answer: with the inputs among them, and without. A rank of 2 with inputs often means that an input"
    " itself comes first.",
    "no_target": "No target is named, and no rank is counted: `--target` names one.",
    "nearest": "The nearest tokens",
    "space": "space",
    "store": "store",
    "with_inputs": "rank with inputs",
    "without_inputs": "rank without inputs",
    "analogies": "Analogies: {name}",
    "analogies_note": "The share of questions whose right answer comes first (accuracy@1). 3CosAdd"
    " leaves out the words of"
    " the question, as is usual; beside it stand the same with these words among the answers, and Only-b, the nearest"
    " neighbour of b, which ignores the first half of the question. Only what 3CosAdd has beyond Only-b is owed to the"
    " offset.",
    "analogies_missing": "No analogies were asked: `--analogies` names a file, or `google`.",
    "asked": "asked",
    "inputs_out": "3CosAdd",
    "inputs_in": "3CosAdd, inputs in",
    "only_b": "Only-b",
    "only_b_in": "Only-b, inputs in",
    "interval": "95 %",
    "pairs": "Word pairs: {name}",
    "pairs_note": "Spearman's correlation of cosines with people's scores. An interval holds 95 % of 1,000 bootstrap"
    " samples; `difference` is from the first space, in the same samples.",
    "pairs_missing": "No word pairs were asked: `--pairs` names a file, or `simlex999`.",
    "difference": "difference",
    "spearman": "Spearman",
    "context": "What context changes",
    "context_note": "Self-similarity is the mean similarity of two vectors of one token in different"
    " sentences; it must be"
    " read beside that of two random tokens. Reliability is the share of the differences between tokens that another"
    " sample of sentences would show again.",
    "context_missing": "{store} has no vectors from contexts: `kotovec build MODEL --corpus FILE` makes them.",
    "spread_missing": "{store} holds no self-similarity: the version that built it measured none, and a build with"
    " `--overwrite` does.",
    "self": "self-similarity",
    "random": "of random pairs",
    "reliability": "reliability",
    "contexts": "contexts",
    "vectors": "vectors",
    "with_context": "tokens with contexts",
    "norms": "Norms by kind of token",
    "norms_note": "The median L2 norm of the vectors of each kind of token, without vectors of zeros.",
    "kind": "kind",
    "tokens": "tokens",
    "median": "median norm",
    "not_asked": "{store}: {problem}.",
    "note": "{store}: {note}.",
    "and": ", ",
    "apart": "Stores that were asked different questions or pairs cannot be compared with each other.",
    "range": "{low} to {high}",
    "asked_pairs": "{store}: {asked} of {items} pairs asked, as {missing} of {words} words are missing ({reasons}).",
    "asked_questions": "{store}: {asked} of {items} questions asked, as {missing} of {words} words are missing"
    " ({reasons}).",
    "some_questions": "{store}: {asked} of {items} questions asked, as the answers of the others are no rows.",
    "all_pairs": "{store}: all {items} pairs asked.",
    "all_questions": "{store}: all {items} questions asked.",
    "no_pairs": "{store}: no pair has both words in all spaces; `--lower` or `--multi mean` may find more of them.",
    "no_questions": "{store}: no question has all its words in all spaces; `--lower` or `--multi mean` may find more of"
    " them.",
    "unknown": "{count} unknown",
    "several": "{count} of several tokens",
    "absent": "{count} without a vector in a space",
    "axis": "Marks are values, bars are 95 % intervals.",
    "by_layer": "{space} by layer",
    "layer": "layer",
}
JAPANESE = {
    "title": "{stores}の評価レポート",
    "command": "コマンド",
    "commands": "コマンド",
    "expression": "各空間における「{expression}」",
    "expression_note": "入力語を除き、L2距離の二乗が小さい順に並べた近傍トークンです。「{target}」"
    "の順位は、回答になりうるすべての"
    "トークンの中で数えたもので、入力語を含めた場合と除いた場合を示します。入力語を含めて2位という結果は、多くの場合、"
    "入力語自身が1位であることを意味します。",
    "no_target": "目標の語が指定されていないため、順位は数えていません。`--target`で指定できます。",
    "nearest": "近傍トークン",
    "space": "空間",
    "store": "ストア",
    "with_inputs": "順位（入力語を含む）",
    "without_inputs": "順位（入力語を除く）",
    "analogies": "類推問題：{name}",
    "analogies_note": "正解が1位になった問題の割合（accuracy@1）です。3CosAddは、慣例どおり"
    "問題文の語を回答から除きます。比較のため、問題文の語を除かない場合と、問題の前半を使わずbの最近傍を答えるOnly-bを並べています。"
    "ベクトルの差分による効果は、3CosAddがOnly-bを上回る分だけです。",
    "analogies_missing": "類推問題は評価していません。`--analogies`にファイルまたは`google`を指定してください。",
    "asked": "出題数",
    "inputs_out": "3CosAdd",
    "inputs_in": "3CosAdd（入力語を含む）",
    "only_b": "Only-b",
    "only_b_in": "Only-b（入力語を含む）",
    "interval": "95%区間",
    "pairs": "単語対の類似度：{name}",
    "pairs_note": "コサイン類似度と人間の評定値とのスピアマン順位相関です。区間は、1,000回のブートスト"
    "ラップ標本の95%を"
    "含む範囲です。「差」は、同じ標本における先頭の空間との差です。",
    "pairs_missing": "単語対は評価していません。`--pairs`にファイルまたは`simlex999`を指定してください。",
    "difference": "差",
    "spearman": "スピアマン",
    "context": "文脈による変化",
    "context_note": "自己類似度は、同じトークンが異なる文で持つ2つのベクトルの類似度の平均です。無作為"
    "に選んだ2トークンの値と"
    "比べて読む必要があります。信頼性は、トークン間の違いのうち、別の文の標本でも再現される割合です。",
    "context_missing": "{store}には文脈から得たベクトルがありません。`kotovec build MODEL --corpus"
    " FILE`で作成できます。",
    "spread_missing": "{store}には自己類似度がありません。作成したバージョンが測定していないためで、"
    "`--overwrite`を付けて作り直すと記録されます。",
    "self": "自己類似度",
    "random": "無作為な対",
    "reliability": "信頼性",
    "contexts": "文脈数",
    "vectors": "ベクトル数",
    "with_context": "文脈のあるトークン数",
    "norms": "トークンの種類別のノルム",
    "norms_note": "トークンの種類ごとに、ベクトルのL2ノルムの中央値を示します。零ベクトルは除きます。",
    "kind": "種類",
    "tokens": "トークン数",
    "median": "ノルムの中央値",
    "not_asked": "{store}では計算できません（{problem}）。",
    "note": "{store}：{note}",
    "and": "、",
    "apart": "評価した問題や単語対が異なるストアどうしの数値は比較できません。",
    "range": "{low}〜{high}",
    "asked_pairs": "{store}：{items}対のうち{asked}対を評価しました。{words}語のうち{missing}語が"
    "使えなかったためです（{reasons}）。",
    "asked_questions": "{store}：{items}問のうち{asked}問を評価しました。{words}語のうち{missing}語が"
    "使えなかったためです（{reasons}）。",
    "some_questions": "{store}：{items}問のうち{asked}問を評価しました。残りの問題では、正解がストアの行にありません。",
    "all_pairs": "{store}：{items}対すべてを評価しました。",
    "all_questions": "{store}：{items}問すべてを評価しました。",
    "no_pairs": "{store}：2語ともすべての空間にベクトルを持つ単語対がありません。"
    "`--lower`や`--multi mean`を付けると見つかる場合があります。",
    "no_questions": "{store}：すべての語がすべての空間にベクトルを持つ問題がありません。"
    "`--lower`や`--multi mean`を付けると見つかる場合があります。",
    "unknown": "語彙外{count}語",
    "several": "複数トークン{count}語",
    "absent": "ベクトルのない空間あり{count}語",
    "axis": "印は値、線分は95%区間を表します。",
    "by_layer": "{space}：層ごとの値",
    "layer": "層",
}
LANGUAGES = {"en": ENGLISH, "ja": JAPANESE}


def texts(language: str) -> dict[str, str]:
    """Return the sentences in a language.

    Raises:
        InputError: there are none in it.
    """
    if language not in LANGUAGES:
        raise InputError(f"unknown language {quoted(language)}", hint=f"choose {choices(LANGUAGES)}")
    return LANGUAGES[language]
