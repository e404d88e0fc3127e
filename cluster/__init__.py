"""Ray: plan a build, start or join a cluster, schedule shards, survive losses, put the store together."""
