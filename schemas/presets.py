"""The presets in `conf/`: where they lie and what a bare name means. Light, for the command line's `--help`."""

from __future__ import annotations

from pathlib import Path

DEFAULT_PRESET = "khorrami2016"


def conf_dir() -> Path:
    """The folder of the presets: `conf/` of a checkout, or the copy inside an installed wheel."""
    here = Path(__file__).resolve().parent
    packaged = here / "conf"
    return packaged if packaged.is_dir() else here.parent / "conf"


def preset_path(preset: str) -> Path:
    """A path as it stands; a bare name is a preset of `conf/`.

    >>> preset_path("demo").name
    'demo.toml'
    """
    path = Path(preset)
    return path if path.suffix == ".toml" else conf_dir() / f"{preset}.toml"
