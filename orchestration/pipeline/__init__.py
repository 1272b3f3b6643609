"""One run of the whole pipeline in this process: Dagster's batch job, what it did, and how it ended.

It stands above `definitions`: commands call it, nothing that Dagster loads knows it.
"""

from orchestration.pipeline.report import CheckOutcome, Note, RunFailedError, RunReport, Stage
from orchestration.pipeline.run import dagster_environment, run_batch

__all__ = ["CheckOutcome", "Note", "RunFailedError", "RunReport", "Stage", "dagster_environment", "run_batch"]
