"""The command line, the only package that prints: words in, tables out."""

from kotovec.ownership import drop_public_paths

drop_public_paths()  # before anything else is imported
