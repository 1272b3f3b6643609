"""Names and ids of a persistent query: all derived from its name and its id, so that they can be read back."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

ID_LENGTH = 8
_LONGEST_SAFE_NAME = 48
_JOB_NAME = re.compile(r"(?P<namespace>[a-z0-9][a-z0-9_-]{0,31})\.(?P<safe>[a-z0-9_]{1,48})\.(?P<id>[0-9a-f]{8})")


@dataclass(frozen=True)
class JobName:
    """What a job's name says: whose query it is. `safe` is the safe form of the query's name."""

    namespace: str
    safe: str
    query_id: str


def new_query_id() -> str:
    """Return a random id of 8 hexadecimal digits.

    It is that short so that the whole of it stands in the job's name: a lost registry is rebuilt from those.
    """
    return secrets.token_hex(ID_LENGTH // 2)


def safe_name(name: str) -> str:
    """Return `name` with only lower-case letters, digits and single underscores, at most 48 characters, never empty."""
    safe = re.sub(r"_+", "_", re.sub(r"[^a-z0-9_]", "_", name.lower())).strip("_")
    if safe[:1].isdigit():
        safe = f"q_{safe}"
    return safe[:_LONGEST_SAFE_NAME].strip("_") or "query"


def sink_table_name(name: str, query_id: str) -> str:
    """Return the table that a query writes when it names none; the same for every deploy of the query."""
    return f"view_{safe_name(name)}_{query_id[:6]}"


def job_name(namespace: str, name: str, query_id: str) -> str:
    """Return the query's `pipeline.name`."""
    return f"{namespace}.{safe_name(name)}.{query_id}"


def parse_job_name(text: str) -> JobName | None:
    """Return what a job name of ours says, or None for another's."""
    match = _JOB_NAME.fullmatch(text)
    return JobName(match["namespace"], match["safe"], match["id"]) if match else None


def fixed_job_id(query_id: str, generation: int, attempt: int) -> str:
    """Return the Flink job id, 32 hexadecimal digits, of one submission.

    Flink refuses a second job with the id of one that it has or remembers. So a deploy that was cut off can be looked
    up, and cannot happen twice.
    """
    return hashlib.md5(f"millrace:{query_id}:{generation}:{attempt}".encode(), usedforsecurity=False).hexdigest()


def find_submission(query_id: str, job_id: str, *, generations: int = 50, attempts: int = 50) -> tuple[int, int] | None:
    """Return the generation and attempt that `job_id` was made from, or None if it is not one of the first ones."""
    for generation in range(1, generations + 1):
        for attempt in range(1, attempts + 1):
            if fixed_job_id(query_id, generation, attempt) == job_id:
                return generation, attempt
    return None
