"""What a process that reads a model's folder may not do. Each limit is held where the platform has it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of the kernel's packet filter
ALLOW, ERROR, EPERM = 0x7FFF0000, 0x00050000, 1
# by machine: the kernel's number of the architecture, and of socket, connect, execve, execveat, ptrace, io_uring_setup
CALLS = {
    "x86_64": (0xC000003E, (41, 42, 59, 322, 101, 425)),
    "aarch64": (0xC00000B7, (198, 203, 221, 281, 117, 425)),
}


def hold(seconds: int, memory: int) -> None:
    """The processor's time, and the bytes of address space beyond what is in use; no core; ends with its parent."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def shut() -> None:
    """No file grows, no program starts, no connection opens: for what runs no code of the model's author."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux" and os.uname().machine in CALLS:
        with contextlib.suppress(OSError):
            _refuse(*CALLS[os.uname().machine])


def _refuse(architecture: int, calls: tuple[int, ...]) -> None:
    """Have the kernel answer these calls with EPERM (seccomp, mode 2); raises OSError where it does not let us."""
    checks = len(calls)
    program = [
        (LOAD, 0, 0, 4),  # the architecture
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, ERROR | EPERM),
        (LOAD, 0, 0, 0),  # the number of the call
        *((JUMP_IF_EQUAL, checks - i, 0, call) for i, call in enumerate(calls)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, ERROR | EPERM),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")
