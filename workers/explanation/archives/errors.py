"""What is wrong with an archive, whatever it holds."""

from workers.explanation.errors import InputError


class InvalidArchive(InputError):
    """No readable archive of plain files; who unpacks it says of what."""
