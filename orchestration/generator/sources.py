"""Source files: one file, a folder, a glob or an s3:// address, as a sorted list."""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq

from orchestration.errors import InputError
from orchestration.settings import Settings

_MONTH = re.compile(r"(?<!\d)(\d{4}-(?:0[1-9]|1[0-2]))(?!\d)")
_HASH_BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True)
class SourceFile:
    """A file to land.

    Attributes:
        path: absolute path, or s3:// address; for people and the ledger.
        filesystem, key: how to open it.
    """

    path: str
    size_bytes: int
    filesystem: fs.FileSystem
    key: str

    @property
    def month(self) -> str | None:
        """YYYY-MM as in the file's name, None if it has none."""
        return month_of(self.path)

    def sha256(self) -> str:
        """Return the hash of the content; streams it."""
        digest = hashlib.sha256()
        with _readable(self), self.filesystem.open_input_stream(self.key) as stream:
            while block := stream.read(_HASH_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @contextmanager
    def open_parquet(self) -> Iterator[pq.ParquetFile]:
        """Give the file opened as Parquet.

        Raises:
            InputError: it is not Parquet, is damaged, or cannot be read.
        """
        with _readable(self):
            file = self.filesystem.open_input_file(self.key)
            with file, pq.ParquetFile(file) as parquet:
                yield parquet


@contextmanager
def _readable(source: SourceFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        what = " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
        # Arrow has damaged pages as OSError too; the operating system's own have an errno.
        is_damaged = getattr(error, "errno", None) is None and isinstance(source.filesystem, fs.LocalFileSystem)
        if is_damaged or isinstance(error, pa.ArrowInvalid):
            raise InputError(
                f"{source.path} is not a readable Parquet file: {what}", hint="give a Parquet file, or repair it"
            ) from error
        raise InputError(f"{source.path} cannot be read: {what}", hint="check the file and its permissions") from error


def month_of(path: str) -> str | None:
    """Return the last YYYY-MM in the file's name, None if there is none."""
    found = _MONTH.findall(PurePosixPath(path).name)
    return found[-1] if found else None


def find_sources(settings: Settings, source: str | None = None) -> list[SourceFile]:
    """Return the files behind `source` (None: DATA_PATH), sorted by path.

    A folder stands for the `*.parquet` files in it; hidden files are passed over. `s3://bucket/prefix` and
    `s3://bucket/glob*` are read with the settings' keys and endpoint.

    Raises:
        InputError: nothing is there; says where it looked.
    """
    wanted = source or settings.data_path
    found = _find_s3(settings, wanted) if wanted.startswith(("s3://", "s3a://")) else _find_local(wanted)
    if not found:
        origin = "--data" if source else "DATA_PATH"
        raise InputError(
            f"no Parquet file at {_absolute(wanted)} (from {origin}={wanted})",
            hint="give an existing file, folder, glob or s3:// address with --data or DATA_PATH, "
            "or make one with `./millrace sample --rows 10000 PATH`",
            context={"looked_for": _absolute(wanted)},
        )
    return sorted(found, key=lambda file: file.path)


def _absolute(wanted: str) -> str:
    return wanted if "://" in wanted else str(Path(wanted).expanduser().absolute())


def _find_local(wanted: str) -> list[SourceFile]:
    path = Path(wanted.removeprefix("file://")).expanduser().absolute()
    if path.is_dir():
        paths = sorted(path.glob("*.parquet"))
    elif path.is_file():
        paths = [path]
    else:
        paths = list(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    local = fs.LocalFileSystem()
    return [
        SourceFile(str(item), item.stat().st_size, local, str(item))
        for item in paths
        if item.is_file() and not item.name.startswith(".")
    ]


def _find_s3(settings: Settings, wanted: str) -> list[SourceFile]:
    address = wanted.split("://", 1)[1].strip("/")
    filesystem = _s3(settings)
    has_glob = any(char in address for char in "*?[")
    base = address
    if has_glob:
        base = re.split(r"[*?\[]", address, maxsplit=1)[0].rpartition("/")[0]
    try:
        info = filesystem.get_file_info(base)
        if info.type is fs.FileType.File:
            infos = [info]
        else:
            infos = filesystem.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=has_glob))
    except OSError as error:
        raise InputError(
            f"{wanted} cannot be listed: {' '.join(str(error).split())[:300]}",
            hint="check AWS_ACCESS_KEY_ID, AWS_REGION and S3_ENDPOINT",
        ) from error
    return [
        SourceFile(f"s3://{info.path}", info.size, filesystem, info.path)
        for info in infos
        if info.type is fs.FileType.File
        and not info.base_name.startswith(".")
        and (_matches(info.path, address) if has_glob else info.path == address or info.path.endswith(".parquet"))
    ]


def _matches(path: str, pattern: str) -> bool:
    """Whether every part of the path matches the part of the pattern; `*` does not cross a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _s3(settings: Settings) -> fs.S3FileSystem:
    endpoint = urlsplit(settings.s3_endpoint) if settings.s3_endpoint else None
    secret = settings.secret_access_key
    token = settings.aws_session_token
    return fs.S3FileSystem(
        access_key=settings.access_key_id,
        secret_key=secret.get_secret_value() if secret else None,
        session_token=token.get_secret_value() if token else None,
        region=settings.aws_region,
        endpoint_override=endpoint.netloc if endpoint else None,
        scheme=endpoint.scheme if endpoint else "https",
        force_virtual_addressing=not settings.s3_path_style,
    )


def read_chunks(
    parquet: pq.ParquetFile, names: list[str], wanted: int, chunk_rows: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (number of the first row, batch) of the first `wanted` rows; no batch crosses a multiple of chunk_rows."""
    row = 0
    for batch in parquet.iter_batches(chunk_rows, columns=names, use_threads=False):
        start = 0
        while start < batch.num_rows and row < wanted:
            length = min(chunk_rows - row % chunk_rows, batch.num_rows - start, wanted - row)
            yield row, batch.slice(start, length)
            start += length
            row += length
        if row >= wanted:
            return
