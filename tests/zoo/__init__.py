"""The zoo: small nets of many kinds, and the law that every method obeys on every one of them."""
