"""Any name becomes an id that is its own slug."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.ids import is_recording_id, slug_recording_id

CONTRACT = re.compile(r"^[A-Za-z][A-Za-z0-9._-]{0,63}\Z", re.ASCII)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("P16", "P16"),
        ("016", "r016"),
        ("2024-01-01", "r2024-01-01"),
        ("Zoë & Ann.take 2", "Zoe-Ann.take-2"),
        ("../etc/passwd", "etc-passwd"),
        ("-a-", "a"),
        ("x" * 70, "x" * 64),
        ("9" * 70, "r" + "9" * 63),
        ("P16\n", "P16"),
    ],
)
def test_names_people_give(name: str, slug: str) -> None:
    assert slug_recording_id(name) == slug


@given(st.text(max_size=90))
@example("ß")
@example("ﬁlm Ⅳ")
@example("\u0130")
@example("a" * 63 + " é")
def test_every_slug_is_an_id_and_its_own_slug(name: str) -> None:
    assert is_recording_id(name) == (CONTRACT.match(name) is not None)
    folded = unicodedata.normalize("NFKD", name)
    if not re.search(r"[A-Za-z0-9]", folded):
        with pytest.raises(SettingsError) as caught:
            slug_recording_id(name)
        assert repr(name) in str(caught.value)
        return
    slug = slug_recording_id(name)
    assert CONTRACT.match(slug)
    assert slug_recording_id(slug) == slug
    if is_recording_id(name):
        assert slug == name


def test_nothing_to_keep_is_an_error() -> None:
    for name in ("", "---", "日本", " \t"):
        with pytest.raises(SettingsError, match="at least one letter or digit"):
            slug_recording_id(name)
