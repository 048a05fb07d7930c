"""What two methods share, on torch: the exported graph, its tape, rules, perturbation."""
