"""The member list in one file, for a stick: `{"path": "text"}`. It proves itself; nothing is verified here."""

import json

from federation.documents import read_object
from federation.errors import InputRefused, TrustError
from federation.membership import Files

LIST_FILE = "list.json"
MAX_LIST_BYTES = 8_388_608


def read_list_file(data: bytes) -> dict[str, bytes]:
    """Return the files of a list by path; raise InputRefused where it is no such file."""
    try:
        document = read_object(data, max_bytes=MAX_LIST_BYTES)
    except TrustError as error:
        raise InputRefused("list-file", "这不是名录文件。", "This is no file of a member list.") from error
    return {path: text.encode() for path, text in document.items() if isinstance(text, str)}


def write_list_file(files: Files) -> bytes:
    """Return a list in one file."""
    return json.dumps({path: data.decode() for path, data in sorted(files.items())}, ensure_ascii=False).encode()
