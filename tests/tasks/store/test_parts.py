"""Parts: whole or not at all, each with its provenance, read across minor versions and refused across major ones."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SchemaVersionError, StoreError
from schemas.tables import FAILURES, SCHEMA_VERSION
from tasks.store.parts import (
    Provenance,
    code_version,
    holds_only,
    is_current,
    part_writer,
    read_provenance,
    read_table,
    stage_key,
    write_part,
    write_text,
)

REPOSITORY = Path(__file__).parents[3]

SCHEMA = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("blob", pa.binary(4)),
    ]
)
TOLD = Provenance(stage="test", stage_key="0123456789abcdef")


def table(*values: float) -> pa.Table:
    rows = [{"recording_id": "A", "value": value, "blob": b"abcd"} for value in values]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def asked(query: str) -> list[tuple[object, ...]]:
    """DuckDB's answer."""
    found: list[tuple[object, ...]] = duckdb.connect().execute(query).fetchall()
    return found


@pytest.mark.parametrize("values", [["a", "a"], ["a", "b"], ["b"], ["a", None], [None], []])
def test_a_column_of_one_value(values: list[str | None], tmp_path: Path) -> None:
    schema = pa.schema([pa.field("name", pa.string())])
    path = tmp_path / "part.parquet"
    write_part(path, pa.table({"name": pa.array(values, pa.string())}), TOLD)
    column = read_table(path, schema, encoded=["name"]).column("name")
    expected = all(value == "a" for value in values)
    assert holds_only(column, "a") == expected
    if None not in values:
        assert holds_only(pa.chunked_array([*column.chunks, pa.array(["a"]).dictionary_encode()]), "a") == expected


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "part-00000.parquet"
    write_part(path, table(1.0, 2.0), TOLD)
    assert read_table(path, SCHEMA).equals(table(1.0, 2.0))
    assert read_table(path, SCHEMA, ["value"]).column_names == ["value"]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_only_other_bytes_replace_a_file(tmp_path: Path) -> None:
    path, text = tmp_path / "part-00000.parquet", tmp_path / "told.md"
    write_part(path, table(1.0), TOLD)
    write_text(text, "one")
    for file in (path, text):
        os.utime(file, ns=(1, 1))
    write_part(path, table(1.0), TOLD)
    write_text(text, "one")
    assert [file.stat().st_mtime_ns for file in (path, text)] == [1, 1]
    write_part(path, table(2.0), TOLD)  # of the same size
    write_text(text, "two")
    assert all(file.stat().st_mtime_ns > 1 for file in (path, text))
    assert (read_table(path, SCHEMA)["value"].to_pylist(), text.read_text(encoding="utf-8")) == ([2.0], "two")
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, text.name]


def test_provenance_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    told = Provenance(
        stage="faces",
        stage_key="k",
        source_sha256="s",
        decoder_version="9.0",
        model_hash="m",
        extra={"is_last": "true", "größe": "5 µm"},
    )
    write_part(path, table(1.0), told)
    expected = {
        "schema_version": SCHEMA_VERSION,
        "code_version": code_version(),
        "stage": "faces",
        "stage_key": "k",
        "source_sha256": "s",
        "decoder_version": "9.0",
        "model_hash": "m",
        "is_last": "true",
        "größe": "5 µm",
    }
    found = read_provenance(path)
    assert found is not None
    assert {name: found[name] for name in expected} == expected
    raw = pq.read_metadata(path).metadata
    assert raw[b"affectflow.stage_key"] == b"k"
    assert read_provenance(tmp_path / "none.parquet") is None
    assert is_current(path, "k")
    assert not is_current(path, "other")
    assert not is_current(tmp_path / "none.parquet", "k")


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"

    def stop(error: type[BaseException]) -> None:
        with part_writer(path, SCHEMA, TOLD) as writer:
            writer.write_table(table(1.0))
            raise error

    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error):
            stop(error)
        assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    write_part(path, table(1.0), TOLD)
    with part_writer(path, SCHEMA, TOLD) as writer:
        writer.write_table(table(2.0))
        assert read_table(path, SCHEMA)["value"].to_pylist() == [1.0]
        assert read_table(tmp_path, SCHEMA)["value"].to_pylist() == [1.0]
        held = pq.ParquetFile(path)
    with held:  # a reader that has the old file open keeps it
        assert held.read()["value"].to_pylist() == [1.0]
    assert read_table(path, SCHEMA)["value"].to_pylist() == [2.0]
    with pytest.raises(ZeroDivisionError), part_writer(path, SCHEMA, TOLD):
        raise ZeroDivisionError
    assert read_table(path, SCHEMA)["value"].to_pylist() == [2.0]


def test_what_a_killed_writer_leaves_disturbs_no_reader(tmp_path: Path) -> None:
    write_part(tmp_path / "part-00000.parquet", table(1.0), TOLD)
    script = (
        "import os, signal, sys; from pathlib import Path; from tasks.store.parts import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'PAR1 half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "part-00001.parquet")], cwd=REPOSITORY, check=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert read_table(tmp_path, SCHEMA).num_rows == 1
    assert pl.read_parquet(tmp_path / "part-*.parquet").height == 1
    assert pl.read_parquet(tmp_path / "*.parquet").height == 1
    assert pl.read_parquet(tmp_path / "**/*.parquet").height == 1
    for pattern in ("part-*.parquet", "*.parquet", "**/*.parquet"):
        assert asked(f"select count(*) from '{tmp_path}/{pattern}'") == [(1,)]
    assert pq.read_table(tmp_path).num_rows == 1


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_part(path, table(1.0), TOLD)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        big = pa.table({"blob": pa.array([os.urandom(4) for _ in range(50_000)], pa.binary(4))})
        with pytest.raises(StoreError, match=r"p\.parquet: cannot be written .*free space"):
            write_part(path, big, TOLD)
        with pytest.raises(StoreError, match="cannot be written"):
            write_text(tmp_path / "t.txt", "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]
    assert read_table(path, SCHEMA)["value"].to_pylist() == [1.0]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match=r"p\.parquet: cannot be written"):
        write_part(tmp_path / "file" / "p.parquet", table(1.0), TOLD)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_files_are_as_open_as_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_part(tmp_path / "p.parquet", table(1.0), TOLD)
        write_text(tmp_path / "t.txt", "text")
    finally:
        os.umask(before)
    for name in ("p.parquet", "t.txt"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def _restamped(path: Path, version: str | None, columns: pa.Table) -> None:
    stamp = {"affectflow.stage_key": "k"} | ({} if version is None else {"affectflow.schema_version": version})
    pq.write_table(columns.replace_schema_metadata(stamp), path)


def test_another_major_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    newer = f"{int(SCHEMA_VERSION.split('.')[0]) + 1}.0"
    for version, said in ((newer, newer), (None, "none")):
        _restamped(path, version, table(1.0))
        for read in (read_provenance, lambda p: read_table(p, SCHEMA), lambda p: is_current(p, "k")):
            with pytest.raises(SchemaVersionError, match=rf"schema version {said}, expected {SCHEMA_VERSION}; ingest"):
                read(path)
        with pytest.raises(SchemaVersionError):
            read_table(tmp_path, SCHEMA)


def test_minor_versions_are_read_with_nulls(tmp_path: Path) -> None:
    major = SCHEMA_VERSION.split(".")[0]
    _restamped(tmp_path / "part-00000.parquet", f"{major}.0", table(1.0).drop_columns(["blob"]))
    newer = table(2.0).append_column("added_later", pa.array([7]))
    _restamped(tmp_path / "part-00001.parquet", f"{major}.99", newer)
    found = read_table(tmp_path, SCHEMA)
    assert found.schema.names == SCHEMA.names
    assert found["value"].to_pylist() == [1.0, 2.0]
    assert found["blob"].to_pylist() == [None, b"abcd"]
    assert read_table(tmp_path, SCHEMA, ["blob", "value"]).column_names == ["blob", "value"]


def test_parts_come_in_order(tmp_path: Path) -> None:
    for number in (10, 2, 0, 1, 9):
        write_part(tmp_path / f"part-{number:05d}.parquet", table(float(number)), TOLD)
    assert read_table(tmp_path, SCHEMA)["value"].to_pylist() == [0, 1, 2, 9, 10]


def test_what_is_missing_or_no_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing there; run the stage"):
        read_table(tmp_path / "p.parquet", SCHEMA)
    with pytest.raises(StoreError, match="nothing there"):
        read_table(tmp_path, SCHEMA)
    bad = tmp_path / "part-00000.parquet"
    for content in (b"", b"text", b"PAR1" + b"\0" * 100):
        bad.write_bytes(content)
        with pytest.raises(StoreError, match=r"part-00000\.parquet: expected a Parquet file"):
            read_table(tmp_path, SCHEMA)


def test_a_null_where_none_may_be_is_refused(tmp_path: Path) -> None:
    rows = [{"recording_id": None, "value": 1.0, "blob": b"abcd"}]
    with pytest.raises(pa.ArrowInvalid):
        write_part(tmp_path / "p.parquet", pa.Table.from_pylist(rows, schema=SCHEMA), TOLD)
    with pytest.raises((pa.ArrowInvalid, ValueError)), part_writer(tmp_path / "p.parquet", SCHEMA, TOLD) as writer:
        writer.write_table(pa.table({"something": [1]}))
    assert list(tmp_path.iterdir()) == []


def test_every_reader_reads_a_part(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_part(path, table(1.5, 2.5), TOLD)
    assert pl.read_parquet(path)["value"].to_list() == [1.5, 2.5]
    assert asked(f"select sum(value), min(recording_id) from '{path}'") == [(4.0, "A")]
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


def test_stage_keys_are_stable() -> None:
    """The digest of the definition, written out: a change here makes every store stale."""
    import hashlib

    key = stage_key("faces", 3, {"b": [1, 2], "a": None}, ["x", "y"])
    text = '["faces",3,{"a":null,"b":[1,2]},["x","y"]]'
    assert key == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert stage_key("faces", 3, {"a": None, "b": [1, 2]}, ("x", "y")) == key


def test_stage_keys_change_with_everything() -> None:
    keys = [
        stage_key("faces", 1, {"a": 1}, ["x", "y"]),
        stage_key("features", 1, {"a": 1}, ["x", "y"]),
        stage_key("faces", 2, {"a": 1}, ["x", "y"]),
        stage_key("faces", 1, {"a": 2}, ["x", "y"]),
        stage_key("faces", 1, {"a": "1"}, ["x", "y"]),
        stage_key("faces", 1, {"a": 1, "b": None}, ["x", "y"]),
        stage_key("faces", 1, {"a": 1}, ["y", "x"]),
        stage_key("faces", 1, {"a": 1}, ["xy"]),
        stage_key("faces", 1, {"a": 1}, ["x", "y", ""]),
        stage_key("faces", 1, {}, ["x", "y"]),
    ]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


@given(
    settings=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=4),
    inputs=st.lists(st.text(max_size=6), max_size=4),
)
def test_stage_keys_are_sixteen_digits(settings: dict[str, object], inputs: list[str]) -> None:
    key = stage_key("s", 1, settings, inputs)
    assert len(key) == 16
    assert set(key) <= set("0123456789abcdef")
    assert stage_key("s", 1, dict(reversed(settings.items())), inputs) == key
    assert stage_key("s", 1, settings, [*inputs, "more"]) != key


def test_failures_have_a_declared_schema(tmp_path: Path) -> None:
    write_part(tmp_path / "f.parquet", FAILURES.empty_table(), TOLD)
    assert read_table(tmp_path / "f.parquet", FAILURES).num_rows == 0
