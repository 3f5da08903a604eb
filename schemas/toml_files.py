"""TOML files: read, and checked against settings, so that every error names file, setting and value."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.errors import SettingsError
from schemas.presets import conf_dir

TAG = "kind-"
"""How the tags begin that tell pydantic which of several kinds of settings is meant; no error shows them."""

_T = TypeVar("_T")


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary. Raises SettingsError that names the presets there are."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        presets = ", ".join(sorted(str(found.relative_to(conf_dir())) for found in conf_dir().rglob("*.toml")))
        raise SettingsError(f"{path}: no such settings file; presets in {conf_dir()}: {presets}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: expected TOML ({error})") from error


def validated(adapter: TypeAdapter[_T], data: dict[str, Any], path: Path) -> _T:
    """`data` as settings. Raises SettingsError that names file, setting and value."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        lines = [
            f"  {_place(problem['loc'])}: {problem['msg']} (found {problem['input']!r})" for problem in error.errors()
        ]
        raise SettingsError(f"{path}: settings out of range\n" + "\n".join(lines)) from error


def laid_over(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, table by table; a table with a name (a network) is taken whole."""
    merged = dict(base)
    for name, value in over.items():
        known = merged.get(name)
        inner = isinstance(value, dict) and isinstance(known, dict) and "name" not in value
        merged[name] = laid_over(known, value) if inner else value  # type: ignore[arg-type]
    return merged


def _place(location: tuple[int | str, ...]) -> str:
    """Dotted name of a setting, without the tags that tell two kinds of network apart."""
    return ".".join(str(part) for part in location if not str(part).startswith(TAG))
