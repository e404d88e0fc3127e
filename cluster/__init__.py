"""Ray: plan a build, start or join a cluster, schedule shards, survive lost workers, assemble the store."""

DEFAULT_MODEL = "tohoku-nlp/bert-base-japanese-whole-word-masking"  # the model of the article
