"""Rules that follow from what a node without weights does; each stands with the operations that it serves."""
