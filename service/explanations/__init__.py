"""From a request to its orders, and from what became of them to a response; webhooks."""
