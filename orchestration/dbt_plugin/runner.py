"""dbt in this process: one `dbtRunner` call, results as data, our errors instead of dbt's."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from orchestration.dbt_plugin.config import bound_settings
from orchestration.dbt_plugin.environment import (
    dbt_dir,
    dbt_env,
    process_environment,
    profile_env,
    set_environment,
    work_path,
)
from orchestration.dbt_plugin.local_views import views_for
from orchestration.dbt_plugin.manifest import PARSE_CACHE, ensure_manifest, forget_moved_project, parse_dir
from orchestration.dbt_plugin.refusals import refusal_in
from orchestration.errors import CheckFailedError, ConfigError, MillraceError
from orchestration.locking import hold
from orchestration.redaction import redact
from orchestration.settings import Settings

__all__ = ["DbtNode", "DbtRun", "dbt_env", "ensure_manifest", "process_environment", "run_dbt"]

_FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
_READ_ONLY = frozenset({"parse", "list", "ls", "compile", "debug", "deps", "clean"})
# dbt keeps its flags, adapters and loggers in globals: one run at a time in a process.
_ONE_RUN = threading.Lock()


@dataclass(frozen=True)
class DbtNode:
    """What became of one node.

    Attributes:
        unique_id: such as `model.millrace.fct_trips`.
        status: success, pass, warn, fail, error, skipped or no-op.
        failures: rows that break a test; None for what is not a test.
        metadata: what a write to Iceberg did: rows, rows_written, snapshot_before, snapshot_after, seconds, attempts,
            notice. A snapshot id that is missing: there was none. Empty for everything else.
    """

    unique_id: str
    resource_type: str
    status: str
    duration_s: float
    message: str | None = None
    failures: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_failed(self) -> bool:
        """Whether the node is a reason for the run to fail."""
        return self.status in _FAILED


@dataclass(frozen=True)
class DbtRun:
    """What became of a dbt command.

    Attributes:
        refusal: what the catalog refused a node; None: nothing.
    """

    command: str
    is_success: bool
    duration_s: float
    nodes: tuple[DbtNode, ...]
    refusal: MillraceError | None = None

    @property
    def failed(self) -> tuple[DbtNode, ...]:
        """The nodes that failed; skipped ones are their consequence and not among them."""
        return tuple(node for node in self.nodes if node.is_failed)

    def count(self, *statuses: str) -> int:
        """Return how many nodes ended in one of `statuses`."""
        return sum(node.status in statuses for node in self.nodes)

    def require_success(self) -> None:
        """Do nothing after a success.

        Raises:
            CheckFailedError: names every failed node with its reason.
            CatalogError, CatalogUnreachableError: the first that failed because the catalog refused it.
        """
        if self.is_success:
            return
        if self.refusal is not None:
            raise self.refusal
        reasons = "; ".join(f"{node.unique_id}: {_first_line(node.message)}" for node in self.failed)
        raise CheckFailedError(
            f"dbt {self.command} failed: {reasons or 'no node says why'}",
            hint="`millrace duckdb` looks into the tables; dbt's log is in the instance's folder logs/dbt",
        )


def run_dbt(
    settings: Settings,
    args: Sequence[str],
    *,
    target: str | None = None,
    environ: Mapping[str, str] | None = None,
    on_node: Callable[[DbtNode], None] | None = None,
) -> DbtRun:
    """Run a dbt command in this process, such as `["build", "--select", "marts"]`.

    Commands that write hold the instance's lock on gold: a second one waits. Prints nothing; dbt's log is in
    `logs/dbt` of the instance. Failed nodes are in the result, not raised.

    Args:
        target: of `dbt/profiles.yml`; None: where the settings keep gold.
        environ: more variables for the profile.
        on_node: called as each node ends, from dbt's threads.

    Raises:
        ConfigError: dbt does not understand the command or cannot parse the project.
        BusyError: another process has been writing gold for `lock_timeout_s`.
        UnreachableError, CatalogError: the catalog could not be attached.
    """
    command = next((arg for arg in args if not arg.startswith("-")), "")
    target = target or settings.gold_target
    project, target_path = dbt_dir(settings), settings.instance_dir / "dbt"
    log_path = settings.instance_dir / "logs" / "dbt"
    settings.gold_path.parent.mkdir(parents=True, exist_ok=True)
    # Results come as objects: writing manifest.json and run_results.json costs half a second and nobody reads them.
    options = ["--no-write-json", "--no-use-colors", "--log-level", "none", "--log-level-file", "info"]
    options += ["--log-path", str(log_path)]
    place = ["--project-dir", str(project), "--profiles-dir", str(project), "--target", target]
    place += ["--target-path", str(target_path)]
    views = _views(settings, args) if target == "iceberg" else []
    start = monotonic()
    with _ONE_RUN, _gold_lock(settings, command), bound_settings(settings):
        variables = profile_env(settings) | _work(settings, command) | dict(environ or {})
        with set_environment(variables):
            _prepare(project, target_path, target)
            if views:
                before = _invoke([*options, "run", "--select", *views, *place], None, log_path)
                if not before.success:
                    return _ended(settings, command, before, monotonic() - start)
            result = _invoke([*options, *args, *place], on_node, log_path)
    return _ended(settings, command, result, monotonic() - start)


def _ended(settings: Settings, command: str, result: Any, duration_s: float) -> DbtRun:
    nodes = _nodes(result.result)
    refusals = (refusal_in(node.message, settings, node.unique_id) for node in nodes if node.is_failed)
    return DbtRun(command, bool(result.success), duration_s, nodes, next((one for one in refusals if one), None))


def _views(settings: Settings, args: Sequence[str]) -> list[str]:
    return views_for(args, json.loads(ensure_manifest(settings).read_text(encoding="utf-8")))


def _work(settings: Settings, command: str) -> dict[str, str]:
    """Return where a build on Iceberg works: a new file for commands that write, memory for the others."""
    if command in _READ_ONLY:
        return {"MILLRACE_WORK_PATH": ":memory:"}
    path = work_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    for one in (path, path.with_name(f"{path.name}.wal")):
        one.unlink(missing_ok=True)
    return {"MILLRACE_WORK_PATH": str(path)}


def _invoke(args: list[str], on_node: Callable[[DbtNode], None] | None, log_path: Path) -> Any:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    callbacks = [_node_callback(on_node)] if on_node else []
    try:
        result = dbtRunner(callbacks=callbacks).invoke(args)
    finally:
        # dbt-duckdb keeps the file open, and with it locked, for as long as the process lives.
        environment = DuckDBConnectionManager._ENV  # pyright: ignore[reportPrivateUsage]
        if environment is not None:
            environment.close()
        DuckDBConnectionManager.close_all_connections()
        _close_logs(log_path)
    if result.exception is not None:
        raise _as_error(result.exception)
    return result


def _close_logs(log_path: Path) -> None:
    """Close the log file that dbt leaves open: each further run in this process would leave one more."""
    loggers = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    for logger in loggers:
        for handler in list(logger.handlers):
            if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).is_relative_to(log_path):
                logger.removeHandler(handler)
                handler.close()


def _as_error(error: BaseException) -> BaseException:
    """Return the error of ours that dbt wrapped; an interruption as it is; else dbt's own text."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MillraceError) or not isinstance(seen, Exception):
            return seen
        seen = seen.__cause__ or seen.__context__
    text = str(getattr(error, "msg", None) or error)
    return ConfigError(f"dbt could not run: {redact(text)}", hint="run `./millrace config validate`")


def _nodes(result: Any) -> tuple[DbtNode, ...]:
    return tuple(
        DbtNode(
            unique_id=one.node.unique_id,
            resource_type=str(one.node.resource_type),
            status=str(one.status),
            duration_s=float(one.execution_time),
            message=redact(one.message) if one.message else None,
            failures=one.failures,
            metadata=_metadata(one.adapter_response),
        )
        for one in getattr(result, "results", None) or ()
        if hasattr(one, "node")
    )


def _node_callback(on_node: Callable[[DbtNode], None]) -> Callable[[Any], None]:
    def take(event: Any) -> None:
        if event.info.name != "NodeFinished":
            return
        info, result = event.data.node_info, event.data.run_result
        on_node(
            DbtNode(
                unique_id=info.unique_id,
                resource_type=info.resource_type,
                status=info.node_status,
                duration_s=result.execution_time,
                message=redact(result.message) or None,
                failures=result.num_failures if info.resource_type == "test" else None,
                metadata=_metadata(result.adapter_response),
            )
        )

    return take


def _metadata(response: Any) -> dict[str, Any]:
    """Return what `WriteResponse` adds to dbt's own answer."""
    # dbt's events carry numbers as protobuf does, all of them floats; snapshot ids are too wide for these.
    return {
        name: value if name in ("seconds", "notice") else int(value)
        for name, value in dict(response or {}).items()
        if name not in ("_message", "code", "rows_affected")
    }


def _gold_lock(settings: Settings, command: str) -> AbstractContextManager[None]:
    if command in _READ_ONLY:
        return nullcontext()
    return hold(settings.instance_dir / "locks", "gold", wait_s=settings.lock_timeout_s)


def _prepare(project: Path, target_path: Path, target: str) -> None:
    forget_moved_project(project, target_path)
    cache, parsed = target_path / PARSE_CACHE, parse_dir(project, target) / PARSE_CACHE
    if not cache.is_file() and parsed.is_file():
        # The manifest was parsed for Dagster a moment ago: seconds saved on the first run of an instance.
        shutil.copyfile(parsed, cache)


def _first_line(text: str | None) -> str:
    return (text or "no reason given").strip().splitlines()[0]
