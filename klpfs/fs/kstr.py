"""Text that is written to an attribute, read as the kernel reads it (lib/kstrtox.c, kernel/sysctl.c)."""
from __future__ import annotations

from errno import EINVAL

_TRUE, _FALSE = b"yYtT1", b"nNfF0"


def kstrtobool(text: bytes) -> bool:
    """The bool that `text` says: by its first character y Y t T 1 or n N f F 0, or its first two: on, of (any case).

    What follows is not looked at. Anything else, a leading blank too: OSError(EINVAL). Source: kstrtobool().
    """
    first = text[:1]
    if first and first in _TRUE:
        return True
    if first and first in _FALSE:
        return False
    two = text[:2].lower()
    if two == b"on":
        return True
    if two == b"of":
        return False
    raise OSError(EINVAL, f"not a bool: {text[:40]!r}")


def intvec(text: bytes) -> int:
    """The number that was written to a sysctl of one int: blanks, sign, decimal, 0x hexadecimal or 0 octal digits, then
    a blank, a NUL or the end. Anything else, or more than 32 bits: OSError(EINVAL). Source: proc_dointvec()."""
    word = text.lstrip(b" \t\n\v\f\r").split(b"\0")[0].split(None, 1)[0:1]
    digits = word[0] if word else b""
    sign, digits = (-1, digits[1:]) if digits[:1] == b"-" else (1, digits)
    base = 16 if digits[:2].lower() == b"0x" else 8 if digits[:1] == b"0" and len(digits) > 1 else 10
    plain = digits[2:] if base == 16 else digits
    if not plain.isalnum():                    # int() would take a sign, blanks and underscores here
        raise OSError(EINVAL, f"not a number: {text[:40]!r}")
    try:
        value = sign * int(plain, base)
    except ValueError:
        raise OSError(EINVAL, f"not a number: {text[:40]!r}") from None
    if not -2 ** 31 <= value < 2 ** 31:
        raise OSError(EINVAL, f"too large a number: {text[:40]!r}")
    return value
