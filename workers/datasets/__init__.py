"""Datasets: upload, check, read."""
