"""The command line: words in, tables out; the only place that prints."""

from kotovec.ownership import drop_public_paths

drop_public_paths()  # before anything else is imported
