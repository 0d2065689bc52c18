"""What the process holds in memory stays there: no core dump, and no other process of this account may look in.

And what it no longer holds goes back to the system.
"""

import ctypes
import resource
import sys

from federation.errors import StorageError

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h of glibc
_LARGE_BYTES = 131_072


def keep_memory_private() -> None:
    """Forbid core dumps of this process for good; raise StorageError where the system refuses."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
            raise _refused()
    except (OSError, ValueError) as error:
        raise _refused() from error


def give_large_buffers_back() -> None:
    """Let each large buffer be memory of its own that goes back when freed, where the C library is glibc.

    Left alone it learns from the first body of a megabyte to keep such memory, for each thread that ever had one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_ARENA_MAX, 2)


def _refused() -> StorageError:
    return StorageError(
        "core-dump-not-forbidden",
        "系统不允许关闭内存转储，密钥可能落入转储文件，因此没有启动。",
        "The system does not let core dumps be switched off; a key might end in one, so nothing was started.",
    )
