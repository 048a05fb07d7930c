"""HTTP itself: bodies, negotiation, problems, access, limits."""
