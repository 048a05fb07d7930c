"""The methods: a folder a family, a file or a folder a method, its mathematics beside it."""
