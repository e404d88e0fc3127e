"""Ray: plan a build, start or join a cluster, schedule shards, survive losses, put the store together."""

DEFAULT_MODEL = "tohoku-nlp/bert-base-japanese-whole-word-masking"  # the article's
