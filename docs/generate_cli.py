"""Write docs/cli.md: the help of every command, as the command line prints it.

python docs/generate_cli.py [--print]
"""

import contextlib
import io
import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
WIDTH = 100
HEAD = """# The command line

| command | what it does |
|---|---|
| `kotovec build MODEL` | encodes the vocabulary of a model into a store; resumes; `--dry-run` prints the plan |
| `kotovec submit MODEL` | runs a build on a Ray cluster from outside and fetches the store ([submit.md](submit.md)) |
| `kotovec query EXPRESSION` | finds the nearest tokens of a sum: as a table, `--json`, `--tsv`; `--file` for many |
| `kotovec shell` | the same, line by line, with history and completion |
| `kotovec norms WORD …` | prints the norms of the vectors of words and expressions, in every space and layer |
| `kotovec contexts WORD…` | prints the sentences that the context vectors of tokens come from |
| `kotovec tokens PATTERN` | lists tokens with norms, and whether a text can have them ([tokens.md](tokens.md)) |
| `kotovec audit` | reports unreachable, under-trained and duplicate tokens: a table, `--json`, `--html`, `--parquet` |
| `kotovec coverage STORE …` | counts the characters of a list or a text that are one token, several or none |
| `kotovec evaluate TASK FILE …` | asks spaces for word pairs or analogies of data sets ([evaluate.md](evaluate.md)) |
| `kotovec geometry` | measures how narrow the cone of each space is, what dominates it ([geometry.md](geometry.md)) |
| `kotovec hubs` | lists the tokens that are most often among the nearest of others |
| `kotovec neighbours` | finds the nearest tokens of every token, once, and keeps them |
| `kotovec transform --do STEP` | derives a space: centred, without its first components, whitened, … |
| `kotovec convert FROM TO` | imports a file of vectors, or exports a space into one ([convert.md](convert.md)) |
| `kotovec report STORE … --out FILE` | reports what spaces know, as a page, Markdown or JSON ([report.md](report.md)) |
| `kotovec index` | builds another index: space, layer, metric, any faiss factory, with measured recall |
| `kotovec map` | draws the vocabulary in two dimensions, as a picture or a page ([map.md](map.md)) |
| `kotovec info` | prints what a store contains and where it came from |
| `kotovec verify` | recomputes every checksum |
| `kotovec completion SHELL` | prints the script for Tab in bash, zsh or fish |
| `kotovec help COMMAND` | explains a command; `kotovec help environment` lists the environment variables |

`python -m kotovec` is the same command, and `kotovec -V` prints its version.

Results go to stdout, everything else to stderr. An error is a line that begins with `error:`; its fix, where one is
known, follows on a line that begins with `hint:`. Every option has an [environment variable](#environment), which
an option on the command line overrides.

While a command works, a terminal shows its steps with their seconds. Elsewhere (a file, `nohup`, SLURM,
`kubectl logs`) it writes a plain line to stderr every 10 s, or whenever 5 % more is encoded; `--quiet` writes none.

| exit code | meaning |
|---:|---|
| 0 | done |
| 1 | an honest failure, such as a full disk, a damaged file, a busy store, NaN from a model or lost workers |
| 2 | bad input, such as an unknown option, word, model or store |
| 130 | interrupted by Ctrl-C |
| 143 | ended by SIGTERM |

`--quiet` keeps libraries quiet, too: their warnings, logs and progress bars. It does not hide the notes on an answer,
which say how an expression was read or searched, as they change what the answer means: a table is printed without
them, and they go to stderr. JSON holds them as `notes`.

An option that takes a list (`SPACE,…`) may be given several times, which names all of them: `--space static --space
isolated@6` is `--space static,isolated@6`, and `--charset joyo --charset jis1` counts two lists. Of any other option
that is given twice, the last value counts, so that a command can be changed at its end.

`--quiet` also keeps out what libraries write about their own variables. One that no library can read, such as
`OMP_NUM_THREADS=0`, is left out, and without `--quiet` a note says so.

An option has two dashes. `kotovec query king -json` is refused, as it would be a subtraction; `king - json` is one.
So is a single letter that is no option, such as `-s`: a word of one letter is subtracted as `king - s`.

## Tab-separated values

`kotovec query … --tsv` prints one line per hit, with a header. A field with quotes is quoted, and they are doubled, as
`csv` and pandas expect it. What cannot be seen is an escape of JSON (`\\n`, `\\u200b`), and a backslash in a token is
doubled: a line break and a token of the letters `\\n` differ. Tokens such as `null` and `007` are texts, for which
pandas needs two arguments:

```
frame = pandas.read_csv("hits.tsv", sep="\\t", dtype={"token": str}, keep_default_na=False)
frame["token"] = [json.loads('"' + token.replace('"', r'\\"') + '"') for token in frame["token"]]
```

In tables and messages, what cannot be seen is an escape of the [notation of tokens](tokens.md) (`\\n`, `\\u0085`,
`\\U000e0100`), and a backslash in a token is doubled: `a\\nb` is a line break between two letters, `a\\\\nb` the four
characters. `\\xe7` is a byte, and never a character.

Output is in the encoding of the terminal (`PYTHONIOENCODING`); characters that it lacks are escapes of JSON, and
kotovec's own signs are spelled in ASCII (`SPACE,...`). Tables have as many digits as tell neighbouring scores apart,
and texts that run from right to left are between isolates (U+2068, U+2069), so that the numbers beside them keep their
column; JSON and tab-separated values have neither.

## Completion

```console
$ eval "$(kotovec completion bash)"      # in ~/.bashrc; the same with zsh in ~/.zshrc
$ kotovec completion fish | source       # in ~/.config/fish/config.fish
```

Tab then completes commands, options and their values, stores, and the spaces, layers and tokens of the store that the
line names (the only one here, if it names none): `kotovec query king - wom` offers `women`, `woman` and `womb`, the
most frequent first. The mark of a word need not be typed: where the vocabulary has ▁Tokyo, `Toky` becomes `Tokyo`, and
`_Toky` becomes `_Tokyo`. What no token begins with as it is typed is completed in NFC, NFKC, or in another case
(fish itself shows only what begins, in either case, as it was typed: not `ＴＯＫ`).

## Expressions

`王 - 男 + 女` is an expression: a sum of terms.

| written | means |
|---|---|
| `king - man + woman` | terms joined by `+` and `-`; full-width signs (`王＋女－男`) and the minus `−` work as well |
| `0.5*王`, `2 * king`, `1e-3*king` | a weight |
| `king - (man - woman)` | parentheses |
| `"new york"` | a quoted term: always literal, whatever it contains; also “…”, ”…”, „…“, ’…’, 「…」 and 『…』 |
| `#2332` | the token with this id; in quotes, the one with this text, which a note names where there is one |
| `_王`, `" 王"` | the token ▁王, which begins a word, where the vocabulary has one: ▁ is on no keyboard |
| `e-mail`, `C++`, `##王` | looked up as they stand, and split at their signs only if no such token exists |
| `"twenty-one"` | the word: without quotes, one that is no token is a subtraction |

An expression needs no quotes on the command line (`kotovec query king - man + woman`) unless the shell itself would
read a part of it: `*`, `#`, parentheses and quotes.

A hyphenated word that is no token, such as `twenty-one`, is read as `twenty - one`, with a note. There is no note
where spaces or other operators show that a sum is meant, as in `king - man`, `king -man` and `王-男+女`, nor for the
minus `−` and the full-width `－`, which join no words. On a command line the quotes of the word need quotes of their
own, and notes and hints say so: `kotovec query '"twenty-one"'`.

The Japanese long vowel mark `ー` is a letter and `—` a dash, not a minus, and a weight takes the place of a division.
Where something else seems to be meant, an error or a note says what to write.

A word that is not in the vocabulary is split by the model's own tokenizer and represented by the mean of its subwords,
without a lone `▁` that only marks its beginning; the answer says so. A word that is not in the vocabulary as it stands,
but composed (NFC) or without full-width letters (NFKC), is read as that token, with a note; so is one that the
tokenizer then lower-cases, such as `ＫＩＮＧ`. A word of several pieces is split in NFC, and in NFKC where that has
fewer: half-width ﾊﾟﾘ is パ | リ, and not three pieces.

`--exclude-inputs` leaves out the tokens of the expression in all their forms: `王`, `▁王` and `##王` are one word.
Every argument of `kotovec norms` is an expression of its own: `kotovec norms king man "king - man"`.

`--rank queen,princess` adds a line per token with its rank in every space that is asked: `rank of queen: 2 (static),
1 (isolated@6)`. Scores are float64, and better ones are counted among all tokens that may be answers, which
`--exclude-inputs`, `--words-only` and `--script` decide; of equal ones, the lower token id is ahead. Ranks are exact
whatever index the store has. A token that is not one, or has no vector in a space, gets a dash and a note. `--json` has
`ranks`, each with `target`, `token`, `id`, `rank`, `among` (how many tokens may be answers), `score` and `note`; with
`--tsv`, they go to stderr. A token with a comma stands in quotes: `--rank '",",queen'`.

`kotovec query` takes several stores (`--store bert.kotovec --store chive.kotovec`): each answers in those of the named
spaces that it has, and headings, `--json` and `--tsv` say which store an answer is of. `--file` asks one.

`--script Han,Hiragana,Katakana` leaves out tokens that have a character of another [Unicode script](tokens.md#lists);
`Common` stands for tokens of no script, such as `2000`, and for special, unused and byte tokens. The commas of every
list may be those of an input method: `--script Han、Hiragana`.

`kotovec index` measures an approximate index by what `kotovec query` answers with it: recall@10 of the neighbours of
1,000 tokens, which do not count as their own neighbours, and of 1,000 sums of three. A query for which the index finds
too few tokens is answered by a search of all vectors, and says so.

## The shell

`kotovec shell` reads an expression per line; a paste of several lines is several questions. A line that begins with a
colon changes a setting (`:metric cosine`, `:space static,isolated@6`, `:exclude-inputs on`), and is refused at once if
the store cannot answer so. Tab completes settings, their values, and tokens by rank; the toolbar shows space, metric
and k. `help`, `quit` and `exit` work with and without a colon, at the prompt and in a pipe, so these words themselves
are asked for in quotes.
Capitals (`QUIT`, `:Quit`) and full width (`：ｋ　３`, `ｅｘｉｔ`), as an input method types them, are commands, too.

## Environment

{environment}

What follows is the output of `kotovec COMMAND --help`, collected by `python docs/generate_cli.py`.
"""


def main() -> None:
    """Write the page, or print it."""
    page = make_page()
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page)
    else:
        (FOLDER / "cli.md").write_text(page, encoding="utf-8")


def make_page() -> str:
    """Return the page: plain, and equally wide on every terminal."""
    for name in [name for name in os.environ if name.startswith("KOTOVEC_")]:
        del os.environ[name]  # --help shows what the environment sets as defaults
    os.environ.update(COLUMNS=str(WIDTH), TERM="dumb", NO_COLOR="1", PYTHONIOENCODING="utf-8")
    sys.path.insert(0, str(FOLDER.parent))
    from kotovec.cli.app import COMMANDS
    from kotovec.cli.help import variables

    rows = "\n".join(f"| `{name}` | {', '.join(meanings)} |" for name, meanings in variables().items())
    head = HEAD.replace("{environment}", f"| variable | sets |\n|---|---|\n{rows}")
    parts = [head, section("kotovec", []), *(section(f"kotovec {name}", [name]) for name in COMMANDS)]
    return "\n".join(parts)


def section(title: str, arguments: list[str]) -> str:
    """Return the help of a command under its name."""
    from kotovec.cli.app import run

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run([*arguments, "--help"])
    lines = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    main()
