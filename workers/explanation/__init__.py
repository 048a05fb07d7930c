"""The words of both sides, without torch: card, target, result, tensors, errors."""
