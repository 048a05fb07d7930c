"""Archives that somebody sent, a dataset or a model's folder: told by their bytes, and read within bounds."""
