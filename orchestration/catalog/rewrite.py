"""Writing the rows of several data files into one, streamed: memory holds a row group, not a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import sanitize_column_names
from pyiceberg.table import FileScanTask, Table
from pyiceberg.utils.bin_packing import ListPacker

from orchestration.errors import CatalogError

_READ_BYTES = 64 * 1024 * 1024
"""Compressed bytes that are read at once: PyIceberg holds the batches of all files it is given."""
_GROUP_BYTES = 128 * 1024 * 1024
_GROUP_ROWS = 1_000_000
"""A row group ends at either; DuckDB reads row groups in parallel."""
_WRITE_PROPERTIES = ("write.parquet.compression-", "write.metadata.metrics.", "write.parquet.page-")
"""Table properties that a rewrite follows. Not the writer's limits of memory: `dict-size-bytes` is small in our tables
because a Flink writer keeps many files open at once, and a rewrite has one."""


def write_merged(
    table: Table, files: Sequence[tuple[DataFile, Collection[DataFile]]], location: str, *, rows: int
) -> DataFile | None:
    """Write the live rows of data files of one partition into a new file, and return what a manifest says of it.

    Args:
        files: data files with the position delete files that apply to them.
        location: of the new file.
        rows: how many rows are live in them.

    Returns:
        None if no row is live; then there is no file.

    Raises:
        CatalogError: another number of rows came out of them. The file is of no use then.
    """
    if not rows:
        return None
    schema = sanitize_column_names(table.schema())
    properties = {key: value for key, value in table.properties.items() if key.startswith(_WRITE_PROPERTIES)}
    output, written = table.io.new_output(location), 0
    groups = _row_groups(_read(table, files), schema_to_pyarrow(schema))
    with FileFormatFactory.get(FileFormat.PARQUET).create_writer(output, schema, properties) as writer:
        for group in groups:
            writer.write(group)
            written += group.num_rows
        if not written:
            # The writer cannot close a file that it never opened.
            writer.write(schema_to_pyarrow(schema).empty_table())
    if written != rows:
        raise CatalogError(
            f"{'.'.join(table.name())}: {len(files)} files hold {rows:,} live rows by their metadata, but {written:,} "
            "were read; nothing was changed",
            hint="a delete file may spell the data file's path in another way; `millrace snapshots` shows who wrote",
        )
    first = files[0][0]
    merged = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=first.partition,
        file_size_in_bytes=len(output),
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
        **writer.result().to_serialized_dict(),
    )
    # Not a field of the file format, so `from_args` passes over it.
    merged.spec_id = first.spec_id
    return merged


def merged_name(table: Table, first: DataFile, name: str) -> str:
    """Return where a merged file goes: to the table's data folder, below the partition of `first`."""
    metadata = table.metadata
    folder = metadata.specs()[first.spec_id].partition_to_path(first.partition, metadata.schema())
    return table.location_provider().new_data_location(f"{folder}/{name}" if folder else name)


def _read(table: Table, files: Sequence[tuple[DataFile, Collection[DataFile]]]) -> Iterator[pa.RecordBatch]:
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    packer = ListPacker[tuple[DataFile, Collection[DataFile]]](_READ_BYTES, lookback=1, largest_bin_first=False)
    for part in packer.pack(list(files), lambda one: one[0].file_size_in_bytes):
        yield from scan.to_record_batches([FileScanTask(file, delete_files=set(deletes)) for file, deletes in part])


def _row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the batches as tables of a row group each: a file of 500 tiny row groups is as slow as 500 files."""
    waiting: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        if rows >= _GROUP_ROWS or size_bytes >= _GROUP_BYTES:
            yield _as_table(waiting, schema)
            waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield _as_table(waiting, schema)


def _as_table(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    # File schemas of several writers differ in what Arrow sees (large strings, dictionaries), not in what Iceberg sees.
    parts = [pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema) for batch in batches]
    return pa.concat_tables(parts)
