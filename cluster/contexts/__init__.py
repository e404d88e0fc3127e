"""Context: the sentences of a corpus that stand for each item, found and sampled."""
