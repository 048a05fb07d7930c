"""A worker process: tasks, leases, the loop around one batch, what watches it."""
