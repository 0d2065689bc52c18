"""One spelling for what people type: full-width, NBSP, zero-width and padding blanks, dots in minority names.

Names keep their characters (no compatibility folding: it would change rare characters of names).
"""

import re
import unicodedata

_INVISIBLE = dict.fromkeys([*range(0x200B, 0x2010), 0x2060, 0xFEFF, 0x00AD])
_ODD = re.compile(r"[\s　\u00a0\u200b-\u200f\u2060\ufeff\u00ad．•‧・∙.\uff01-\uff5e]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_BETWEEN_HAN = re.compile(r"(?<=[^\x00-\x7f])\s+(?=[^\x00-\x7f])")
_DOTS = re.compile(r"(?<=[^\x00-\x7f])\s*[.．•‧・∙·]\s*(?=[^\x00-\x7f])")
_BLANKS = frozenset(("", "-", "--", "—", "——", "/", "\\", "NULL", "NONE", "N/A", "#N/A", "(空)"))


def fold(value: object) -> str:
    """Return a value for comparing: half-width, without blanks and invisible characters, in capitals."""
    text = str(value)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
    return "".join(text.split()).upper()


def plain(value: object) -> str:
    """Return the text of a cell; a whole number without its `.0`, blanks trimmed, full-width folded."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
    return text.strip()


def is_blank(value: object) -> bool:
    """Tell whether a cell says nothing: empty, a dash, NULL."""
    return value is None or (isinstance(value, str) and fold(value) in _BLANKS)


def clean_name(value: object) -> str:
    """Return a name: `张　三` is `张三`, any dot between parts is `·`; a dash is no name."""
    text = str(value)
    if _ODD.search(text):
        text = text.translate(_INVISIBLE).translate(_FULL_WIDTH)
        text = _DOTS.sub("·", text.strip())
        text = _BETWEEN_HAN.sub("", text)
    return "" if text in _BLANKS else text
