"""A disk that is full, told from other errors."""

import errno


def no_room(error: BaseException) -> bool:
    """Whether a disk, or what a user may have of it, is full: the error says so, or what it came of."""
    own = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return own or (error.__cause__ is not None and no_room(error.__cause__))
