"""New files that commands write: never over another, and whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from federation.errors import Conflict, StorageError


@contextmanager
def new_file(out: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a new file; where the block fails it is taken away again. Raise Conflict where one is there already."""
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise Conflict("file-exists", f"文件 {out} 已存在。", f"{out} exists already.") from error
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # who is told that it is there may carry the disk away
    except OSError as error:
        out.unlink(missing_ok=True)
        raise _unwritable(out, error) from error
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _unwritable(out: Path, error: OSError) -> StorageError:
    return StorageError(
        "file-unwritable", f"不能写入 {out}：{error.strerror}。", f"Cannot write {out}: {error.strerror}."
    )
