"""What one Redis carries."""
