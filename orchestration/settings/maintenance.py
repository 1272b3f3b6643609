"""Settings of table maintenance (orchestration/lakehouse/maintenance). A part of `Settings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

Bytes = Annotated[int, Field(ge=1024)]
Days = Annotated[float, Field(ge=0, le=3650)]


class MaintenanceSettings(BaseSettings):
    """How large files should be and how long history is kept. Properties of a table go before these."""

    iceberg_target_file_size_bytes: Bytes = Field(default=134_217_728, description="of a compacted data file")
    iceberg_min_file_size_bytes: Bytes = Field(default=33_554_432, description="a smaller data file is small")
    iceberg_min_input_files: int = Field(default=5, ge=2, description="so many small files are worth a rewrite")
    iceberg_snapshot_max_age_days: Days = Field(default=7.0, description="older snapshots expire")
    iceberg_snapshot_retain_last: int = Field(default=10, ge=1, description="of each branch, however old")
    iceberg_orphan_min_age_days: float = Field(
        # Below a day it would take files from under writers that are about to commit them.
        default=3.0,
        ge=1,
        le=3650,
        description="younger files may be of a writer at work",
    )
    iceberg_quarantine_days: Days = Field(default=3.0, description="orphans are deleted so long after they were moved")
