"""A folder of models: card, archive, export, loading."""
