"""What a maintenance step on this machine may have to clean up: locations, written down before the files exist or go.

A step that is killed leaves its journal. The next one deletes the files in it that no snapshot of the table needs, so
nothing that is in use can go, whichever moment the kill came at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path


class Journal:
    """A file of one JSON text a line.

    Args:
        path: its folder is made at the first write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, locations: Iterable[str]) -> None:
        """Append locations; they are on disk when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(location)}\n" for location in locations)
            file.flush()
            os.fsync(file.fileno())

    def locations(self) -> list[str]:
        """Return the locations of a step that did not end; a line that a kill cut off is left out."""
        if not self._path.is_file():
            return []
        found: list[str] = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(str(json.loads(line)))
            except json.JSONDecodeError:
                continue
        return found

    def clear(self) -> None:
        """Forget everything: the step has ended."""
        self._path.unlink(missing_ok=True)
