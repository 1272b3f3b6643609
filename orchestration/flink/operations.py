"""The engine's operations on persistent queries: thin ways into `orchestration.flink.queries`, loaded when used."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestration.flink.engine import SqlEngine
    from orchestration.flink.queries.lifecycle import RestartFrom, StopMode
    from orchestration.flink.queries.listing import QueryView
    from orchestration.flink.queries.outcome import DeleteResult, DeployResult, OnProgress, SavepointResult, StopResult
    from orchestration.flink.queries.reconcile import Repair
    from orchestration.flink.queries.spec import QuerySpec
    from orchestration.flink.queries.states import QueryState


class QueryOperations:
    """What `SqlEngine` does with queries that run until they are stopped. `ref`: query id, name, job id or job name."""

    @property
    def _engine(self) -> SqlEngine:
        """Itself, under the name that the operations know."""
        from orchestration.flink.engine import SqlEngine

        assert isinstance(self, SqlEngine)
        return self

    def deploy(
        self,
        spec: QuerySpec,
        *,
        replace: bool = False,
        require_slots: bool = False,
        keep_on_timeout: bool = False,
        tolerate_restarts: int = 0,
        stable_for_s: float = 3.0,
        on_progress: OnProgress | None = None,
    ) -> DeployResult:
        """Start a query and return once its job runs steadily; see `queries.deploy.deploy`."""
        from orchestration.flink.queries.deploy import deploy

        return deploy(
            self._engine,
            spec,
            replace=replace,
            require_slots=require_slots,
            keep_on_timeout=keep_on_timeout,
            tolerate_restarts=tolerate_restarts,
            stable_for_s=stable_for_s,
            on_progress=on_progress,
        )

    def stop(
        self,
        ref: str,
        mode: StopMode | None = None,
        *,
        savepoint_dir: str | None = None,
        timeout_s: float | None = None,
        on_failure: Literal["raise", "cancel"] = "raise",
        on_progress: OnProgress | None = None,
    ) -> StopResult:
        """Stop a query; see `queries.lifecycle.stop`."""
        from orchestration.flink.queries.lifecycle import stop

        return stop(
            self._engine,
            ref,
            mode,
            savepoint_dir=savepoint_dir,
            timeout_s=timeout_s,
            on_failure=on_failure,
            on_progress=on_progress,
        )

    def restart(
        self,
        ref: str,
        from_: RestartFrom = "savepoint",
        *,
        allow_non_restored_state: bool = False,
        stable_for_s: float = 3.0,
        on_progress: OnProgress | None = None,
    ) -> DeployResult:
        """Start a query again; see `queries.lifecycle.restart`."""
        from orchestration.flink.queries.lifecycle import restart

        return restart(
            self._engine,
            ref,
            from_,
            allow_non_restored_state=allow_non_restored_state,
            stable_for_s=stable_for_s,
            on_progress=on_progress,
        )

    def upgrade(
        self,
        spec: QuerySpec,
        *,
        allow_non_restored_state: bool = False,
        require_slots: bool = False,
        stable_for_s: float = 3.0,
        on_progress: OnProgress | None = None,
    ) -> DeployResult:
        """Replace the definition of a query; see `queries.lifecycle.upgrade`."""
        from orchestration.flink.queries.lifecycle import upgrade

        return upgrade(
            self._engine,
            spec,
            allow_non_restored_state=allow_non_restored_state,
            require_slots=require_slots,
            stable_for_s=stable_for_s,
            on_progress=on_progress,
        )

    def delete(
        self,
        ref: str,
        *,
        drop_sink: bool = True,
        drop_data: bool = False,
        force: bool = False,
        on_progress: OnProgress | None = None,
    ) -> DeleteResult:
        """Stop a query, drop its sink and forget it; see `queries.lifecycle.delete`."""
        from orchestration.flink.queries.lifecycle import delete

        return delete(self._engine, ref, drop_sink=drop_sink, drop_data=drop_data, force=force, on_progress=on_progress)

    def wait_finished(self, ref: str, *, timeout_s: float = 1800.0) -> StopResult:
        """Wait for the end of a bounded query; see `queries.lifecycle.wait_finished`."""
        from orchestration.flink.queries.lifecycle import wait_finished

        return wait_finished(self._engine, ref, timeout_s=timeout_s)

    def savepoint(
        self, ref: str, *, savepoint_dir: str | None = None, timeout_s: float | None = None
    ) -> SavepointResult:
        """Make a savepoint of a query that goes on; see `queries.lifecycle.savepoint`."""
        from orchestration.flink.queries.lifecycle import savepoint

        return savepoint(self._engine, ref, savepoint_dir=savepoint_dir, timeout_s=timeout_s)

    def list(
        self, *, state: QueryState | None = None, owner: str | None = None, include_foreign: bool = False
    ) -> builtins.list[QueryView]:
        """Return the queries that are not deleted, by name; see `queries.listing.list_queries`."""
        from orchestration.flink.queries.listing import list_queries

        return list_queries(self._engine, state=state, owner=owner, include_foreign=include_foreign)

    def status(self, ref: str) -> QueryView:
        """Return one query with its checkpoints and failures; see `queries.listing.query_status`."""
        from orchestration.flink.queries.listing import query_status

        return query_status(self._engine, ref)

    def reconcile(self, *, recover: bool = False) -> builtins.list[Repair]:
        """Repair the records from the cluster; see `queries.reconcile.reconcile`."""
        from orchestration.flink.queries.reconcile import reconcile

        return reconcile(self._engine, recover=recover)

    def recover(self) -> builtins.list[Repair]:
        """Rebuild the records of a lost registry from job names; see `queries.reconcile.recover`."""
        from orchestration.flink.queries.reconcile import recover

        return recover(self._engine)
