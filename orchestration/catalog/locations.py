"""Table files in their store: one spelling for each location, and listing, moving and deleting below a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from pyarrow import fs
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_SAME = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "wasb": "wasbs", "gcs": "gs"}


def normalize(location: str) -> str:
    """Return the one spelling of a file's location; different spellings of the same file give the same text.

    Hadoop writes `file:/x` where PyIceberg writes `file:///x` and DuckDB `/x`; `s3a` and `s3n` are Hadoop's names of
    `s3`. Percent signs stay as they are: no engine of ours decodes them.
    """
    found = _SCHEME.fullmatch(location)
    scheme, rest = (found[1].lower(), found[2]) if found else ("file", location)
    if scheme == "file":
        rest = rest.removeprefix("//localhost")
        return "/" + re.sub("/+", "/", rest).strip("/")
    return f"{_SAME.get(scheme, scheme)}:{rest.rstrip('/')}"


def is_below(location: str, folder: str) -> bool:
    """Whether a location is the folder or lies in it, however both are spelled."""
    return f"{normalize(location)}/".startswith(f"{normalize(folder)}/")


@dataclass(frozen=True)
class StoredFile:
    """A file that the store holds.

    Attributes:
        location: normalized.
        modified_at: aware UTC; None if the store does not say.
    """

    location: str
    size_bytes: int
    modified_at: datetime | None


class Store:
    """The files below one folder, such as a table's. Locations given to it may have any spelling.

    Args:
        io: of the table; its properties hold the store's endpoint and credentials.
        root: location of the folder.
    """

    def __init__(self, io: FileIO, root: str) -> None:
        arrow = io if isinstance(io, PyArrowFileIO) else PyArrowFileIO(io.properties)
        scheme, authority, path = arrow.parse_location(root, arrow.properties)
        self._fs: fs.FileSystem = arrow.fs_by_scheme(scheme, authority)
        self._path = path.rstrip("/")
        self.root = normalize(root)

    def list(self, folder: str | None = None) -> Iterator[StoredFile]:
        """Yield the files below the root, or below a folder in it; none if there is no such folder."""
        top = self._path if folder is None else self._to_path(folder)
        for info in self._fs.get_file_info(fs.FileSelector(top, allow_not_found=True, recursive=True)):
            if info.type == fs.FileType.File:
                location = self.root + info.path.rstrip("/").removeprefix(self._path)
                yield StoredFile(location, info.size or 0, info.mtime)

    def delete(self, locations: Iterable[str]) -> int:
        """Delete files, and the checksum files that Hadoop keeps beside them; return how many were there."""
        deleted = 0
        for location in locations:
            deleted += self._delete(self._to_path(location))
            if self._is_local:
                self._delete(self._to_path(checksum_of(location)))
        return deleted

    def move(self, location: str, target: str) -> bool:
        """Move a file within the store; False if it is not there any more. Repeated after a kill it finishes."""
        source, destination = self._to_path(location), self._to_path(target)
        if self._is_local:
            # An object store has no folders, and would keep an empty object for each one made.
            self._fs.create_dir(str(PurePosixPath(destination).parent), recursive=True)
        try:
            self._fs.move(source, destination)
        except FileNotFoundError:
            return False
        return True

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, fs.LocalFileSystem)

    def _to_path(self, location: str) -> str:
        return self._path + normalize(location).removeprefix(self.root)

    def _delete(self, path: str) -> int:
        try:
            self._fs.delete_file(path)
        except FileNotFoundError:
            return 0
        return 1


def checksum_of(location: str) -> str:
    """Return where Hadoop's local file system keeps the checksum of a file."""
    folder, _, name = location.rpartition("/")
    return f"{folder}/.{name}.crc"


def guarded_by(location: str) -> str:
    """Return the file that a file of this location speaks of: itself, or the one whose checksum it is."""
    folder, _, name = location.rpartition("/")
    return f"{folder}/{name[1:-4]}" if name.startswith(".") and name.endswith(".crc") else location
