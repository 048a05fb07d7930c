"""Rules: how relevance passes one node. Each is bound to its node; its backward reads that node's part of the tape."""
