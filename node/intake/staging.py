"""Files that wait for confirmation. They hold persons: readable to the owner alone, deleted when the import ends."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from federation.errors import StorageError
from node.context import Node
from node.intake.models import ImportFile

STAGING = "staging"


def _path(node: Node, import_id: str) -> Path:
    return node.folder / STAGING / import_id


def keep_bytes(node: Node, import_id: str, data: bytes) -> None:
    """Keep a new file; raise StorageError where the folder cannot be written."""
    path = _path(node, import_id)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise StorageError(
            "staging-not-writable",
            f"无法暂存文件：{error.strerror}。请检查磁盘空间和 {STAGING} 目录的权限。",
            f"The file cannot be staged: {error.strerror}. Check disk space and the permissions of {STAGING}.",
        ) from error


def load_bytes(node: Node, item: ImportFile) -> bytes:
    """Return the bytes that were staged, unchanged; raise StorageError where they are not."""
    try:
        data = _path(node, item.id).read_bytes()
    except OSError as error:
        raise StorageError(
            "staged-file-missing",
            "暂存的文件不见了，请重新上传。",
            "The staged file is gone; upload it again.",
        ) from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise StorageError(
            "staged-file-changed", "暂存的文件被改动过，请重新上传。", "The staged file was changed; upload it again."
        )
    return data


def forget_bytes(node: Node, import_id: str) -> None:
    """Delete the file, if it is still there."""
    _path(node, import_id).unlink(missing_ok=True)
