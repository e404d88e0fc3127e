"""The options of `kotovec convert`."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.complete import formats, stores
from kotovec.cli.declare import FILES, option

FromArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="FROM",
        help="A store, or a file of vectors: its ending says the format.",
        autocompletion=stores,
        show_default=False,
        readable=False,
    ),
]
ToArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="TO",
        help="A file of vectors, or the folder of a new store, NAME.kotovec.",
        show_default=False,
        readable=False,
    ),
]
FormatOption = Annotated[
    str | None,
    option(
        FILES,
        "--format",
        metavar="FORMAT",
        help="Format of the file, of `word2vec`, `word2vec-bin`, `gensim`, `glove`, `fasttext`, `fasttext-bin`, `npy`,"
        " `safetensors`, `parquet`, `arrow` and `projector` [that of its ending].",
        complete=formats,
        show_default=False,
    ),
]
EscapedOption = Annotated[
    bool, option(FILES, "--escaped", help="Undo the escapes of words that an export listed in `FILE.escaped.tsv`.")
]
NgramWordsOption = Annotated[
    Path | None,
    option(
        FILES,
        "--words",
        metavar="FILE",
        help="File of words, one per line, that are answered by the n-grams of a `.bin` of fastText.",
        show_default=False,
    ),
]
ReplaceOption = Annotated[bool, option(FILES, "--overwrite", help="Replace an existing file or store.")]
