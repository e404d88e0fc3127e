"""`--quiet` for libraries, too: their warnings, logs and progress bars."""

import logging
import os
import warnings
from collections.abc import Sequence

_VARIABLES = {  # read when the libraries are imported
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "PYTHONWARNINGS": "ignore",  # of the workers
}


def silence(arguments: Sequence[str]) -> None:
    """Keep libraries quiet if a command is given `--quiet`, or KOTOVEC_QUIET is set; settings of the user's stay."""
    if not (
        {"-q", "--quiet"} & set(arguments)
        or os.environ.get("KOTOVEC_QUIET", "").lower() in ("1", "true", "yes", "on", "t", "y")
    ):
        return
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")
    logging.lastResort = None  # prints warnings that no handler takes
    logging.disable(logging.WARNING)
