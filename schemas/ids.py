"""Recording ids: what is allowed, and how anything else becomes an id."""

from __future__ import annotations

import re
import unicodedata

from schemas.errors import SettingsError

ID_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


def is_recording_id(text: str) -> bool:
    """True if `text` is an id as it stands: a letter, then up to 63 of letters, digits, `.`, `_`, `-`."""
    return ID_PATTERN.fullmatch(text) is not None


def slug_recording_id(text: str) -> str:
    """The id made from any name: `text` itself where it is one, else an ASCII slug of it.

    Accents are folded, every run of other characters becomes one `-`, a leading `r` is added where no letter
    leads, and the result is cut to 64 characters. The caller keeps the original name and reports two names
    that fall on one slug.

    Raises:
        SettingsError: nothing of `text` can be kept.

    >>> slug_recording_id("P16"), slug_recording_id("016 é.take")
    ('P16', 'r016-e.take')
    """
    if is_recording_id(text):
        return text
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", folded).strip("-._")
    if not slug:
        raise SettingsError(
            f"recording name {text!r}: expected at least one letter or digit; rename it, or name it in a manifest"
        )
    if not slug[0].isalpha():
        slug = f"r{slug}"
    return slug[:64]
