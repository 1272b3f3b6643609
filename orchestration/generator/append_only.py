"""A small Iceberg table that is only ever appended to: the memory of landings and of replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.table import Table

from orchestration.catalog import find_table
from orchestration.catalog.client import catalog_errors
from orchestration.errors import CatalogError

_COMMIT_TRIES = 8


class AppendOnlyTable:
    """A table of a fixed schema, created by the first write."""

    def __init__(self, catalog: Catalog, name: str, schema: pa.Schema) -> None:
        self._catalog, self._name, self._schema = catalog, name, schema

    def append(self, row: Mapping[str, object]) -> None:
        """Write one row.

        Raises:
            CatalogError: other writers kept winning, or the catalog refused.
        """
        with catalog_errors(str(self._catalog.properties.get("uri", "")), f"writing {self._name}"):
            self._append(row)

    def _append(self, row: Mapping[str, object]) -> None:
        table = self._table()
        rows = pa.Table.from_pylist([dict(row)], schema=self._schema)
        for _ in range(_COMMIT_TRIES):
            try:
                table.append(rows)
                return
            except CommitFailedException:
                # Another writer appended in between; its row does not touch ours.
                table.refresh()
        raise CatalogError(f"{self._name} could not be written: other writers were faster {_COMMIT_TRIES} times")

    def read(self, **wanted: str | None) -> Sequence[dict[str, Any]]:
        """Return the rows whose columns have the wanted values, in no order; None: any value.

        The values are names by the contract's and the broker's own patterns, and ids: none holds a quote.
        """
        table = find_table(self._catalog, self._name)
        if table is None:
            return []
        condition = " and ".join(f"{name} = '{value}'" for name, value in wanted.items() if value is not None)
        return table.scan(row_filter=condition).to_arrow().to_pylist()

    def _table(self) -> Table:
        table = find_table(self._catalog, self._name)
        if table is not None:
            return table
        self._catalog.create_namespace_if_not_exists(self._name.split(".")[0])
        try:
            # Merging keeps the number of manifests, and so the time of a look-up, from growing with every row.
            return self._catalog.create_table(
                self._name,
                self._schema,
                properties={
                    "commit.manifest-merge.enabled": "true",
                    "write.metadata.delete-after-commit.enabled": "true",
                },
            )
        except TableAlreadyExistsError:
            return self._catalog.load_table(self._name)
