"""The command line: words in, tables out; the only place that prints."""
