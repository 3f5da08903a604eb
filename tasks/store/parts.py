"""Parquet parts: written whole or not at all, each with its provenance in the key-value metadata."""

from __future__ import annotations

import filecmp
import hashlib
import importlib.metadata
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import SchemaVersionError, StoreError
from schemas.tables import SCHEMA_VERSION

_PREFIX = "affectflow."
_UNFINISHED = re.compile(r"\.tmp-[0-9a-f]{8}-")
_COMPRESSION_LEVEL = 1  # chips shrink to 0.73-0.80 of raw at levels 1 to 3 alike


@cache
def code_version() -> str:
    """Version of the installed package: recorded in every file, never part of a stage key."""
    return importlib.metadata.version("affectflow")


def stage_key(stage: str, version: int, settings: Mapping[str, Any], inputs: Sequence[str]) -> str:
    """Key that changes exactly when a stage's output may change.

    Args:
        stage: name of the stage, such as `faces`.
        version: the stage's version constant, raised by hand when its code changes its output.
        settings: the settings that this stage reads, JSON-serialisable.
        inputs: keys of what it reads: stage keys, model hashes, sha256 of sources.

    Returns: 16 hexadecimal digits.
    """
    text = json.dumps([stage, version, settings, list(inputs)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a part says about its own making; `None` where a field does not apply."""

    stage: str
    stage_key: str
    source_sha256: str | None = None
    decoder_version: str | None = None
    model_hash: str | None = None
    extra: Mapping[str, str] | None = None
    """Anything else a stage wants back from its own parts, such as the size and time of its source."""

    def as_metadata(self) -> dict[str, str]:
        fields = {name: value for name, value in asdict(self).items() if name != "extra" and value is not None}
        known = {"schema_version": SCHEMA_VERSION, "code_version": code_version(), **fields}
        return {f"{_PREFIX}{name}": str(value) for name, value in {**known, **(self.extra or {})}.items()}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it there when the block ends well.

    A reader sees the old file or the whole new one. What a killed writer leaves starts with `.tmp-` and is never read.
    A file of the same bytes stays as it is, its time too: what was made of it is as good as before.

    Raises:
        StoreError: the folder cannot be written (full disk, read-only, no permission).
    """
    unfinished = ".tmp" if path.suffix == ".parquet" else ""  # other readers' *.parquet takes in dot files
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}-{path.name}{unfinished}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            if not (path.is_file() and filecmp.cmp(temporary, path, shallow=False)):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error}); free space or fix the permissions, then run again"
        ) from error


def remove_unfinished(root: Path) -> None:
    """Remove what dead writers have left anywhere below `root`. Only for whoever may write there, before they do."""
    for path in root.rglob(".tmp-*"):
        if _UNFINISHED.match(path.name):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file of the store, if it is there. Raises StoreError where that is not allowed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be removed ({error}); fix the permissions, then run again") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all. Raises StoreError like `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def part_writer(path: Path, schema: pa.Schema, provenance: Provenance) -> Iterator[pq.ParquetWriter]:
    """Open a part for writing batch by batch; it appears under `path` only once the block ends well.

    Args:
        path: where the part goes.
        schema: one of `schemas.tables`; every batch must match it.
        provenance: goes into the file's key-value metadata.

    Raises:
        StoreError: the folder cannot be written.
    """
    stamped = schema.with_metadata(provenance.as_metadata())
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary,
            stamped,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=[name for name, kind in zip(schema.names, schema.types, strict=True) if kind == pa.string()],
        ) as writer,
    ):
        yield writer


def write_part(path: Path, table: pa.Table, provenance: Provenance) -> None:
    """Write one table as a part, whole or not at all. Raises StoreError like `part_writer`."""
    with part_writer(path, table.schema, provenance) as writer:
        writer.write_table(table.replace_schema_metadata(provenance.as_metadata()))


def read_provenance(path: Path) -> dict[str, str] | None:
    """Metadata of a part without the `affectflow.` prefix; None if there is no such file.

    Raises:
        StoreError: the file is not Parquet.
        SchemaVersionError: it was written under another major schema version.
    """
    try:
        with _opened(path) as parquet:
            return _provenance(path, parquet)
    except FileNotFoundError:
        return None


def _opened(path: Path, **options: Any) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False, **options)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{path}: expected a Parquet file ({error}); delete it and run again") from error


def _provenance(path: Path, parquet: pq.ParquetFile) -> dict[str, str]:
    stored = parquet.metadata.metadata or {}
    found = {key.decode().removeprefix(_PREFIX): value.decode() for key, value in stored.items()}
    version = found.get("schema_version", "none")
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise SchemaVersionError(
            f"{path}: schema version {version}, expected {SCHEMA_VERSION}; "
            "ingest the corpus into a new store, or read this one with the release that wrote it"
        )
    return found


def is_current(path: Path, key: str) -> bool:
    """True if the part at `path` exists and was written under stage key `key`."""
    found = read_provenance(path)
    return found is not None and found.get("stage_key") == key


def read_table(
    path: Path, schema: pa.Schema, columns: Sequence[str] | None = None, *, encoded: Sequence[str] = ()
) -> pa.Table:
    """Read one part, or every `part-*.parquet` of a folder in order, checked against the major schema version.

    Nullable columns that an older minor version lacks come back as nulls.

    Args:
        path: a part, or a folder of parts.
        schema: what the table is declared to be.
        columns: which columns; all of them by default.
        encoded: columns of strings that stay dictionary-encoded: several times as fast where few values repeat.

    Raises:
        StoreError: there is nothing at `path`, or it is not Parquet.
        SchemaVersionError: another major schema version.
    """
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.exists() for file in files):
        raise StoreError(f"{path}: nothing there; run the stage that writes it first")
    fields = [schema.field(name) for name in (columns or schema.names)]
    repeated = pa.dictionary(pa.int32(), pa.string())
    wanted = pa.schema([field.with_type(repeated) if field.name in encoded else field for field in fields])
    tables = []
    for file in files:
        with _opened(file, read_dictionary=list(encoded)) as parquet:
            _provenance(file, parquet)  # refuses another major version
            names = set(parquet.schema_arrow.names)
            chosen = [name for name in wanted.names if name in names]
            try:
                table = parquet.read(columns=chosen, use_threads=False)  # a few columns: threads cost more
            except (OSError, pa.ArrowInvalid) as error:
                raise StoreError(f"{file}: expected a whole Parquet file ({error}); delete it and run again") from error
        for position, field in enumerate(wanted):
            if field.name not in names:
                table = table.add_column(position, field, pa.nulls(table.num_rows, field.type))
        tables.append(table.cast(wanted))
    return pa.concat_tables(tables)


def holds_only(column: pa.ChunkedArray, value: str) -> bool:
    """True if every row of a dictionary-encoded column is `value`, by its dictionaries alone; False where unsure."""
    return all(chunk.dictionary.to_pylist() == [value] and not chunk.null_count for chunk in column.chunks)
