"""Validation in four stages (health, jobs, data, models): every check is a result, none raises, none changes data."""

from orchestration.validation.plan import STAGES, validate
from orchestration.validation.results import Result

__all__ = ["STAGES", "Result", "validate"]
