"""What `up` says and does about queries that are meant to run and have no job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from orchestration.errors import MillraceError

if TYPE_CHECKING:
    from orchestration.lakehouse.streams.missing import MissingQuery
    from orchestration.settings import Settings


def settle_missing(settings: Settings, *, deploy: bool) -> list[MissingQuery]:
    """Name the queries that are meant to run and do not on standard error, and return them.

    Args:
        deploy: start the streams among them again; those that run then are not returned.

    Raises:
        MillraceError: a stream cannot be deployed. That the registry cannot be read is only said: the stack is up.
    """
    from orchestration.lakehouse.streams.missing import find_missing_queries

    try:
        missing = find_missing_queries(settings)
    except MillraceError as error:
        typer.echo(f"it is not known which queries should run: {error}", err=True)
        return []
    left: list[MissingQuery] = []
    for one in missing:
        if deploy and one.dataset is not None:
            _deploy(settings, one.dataset)
            continue
        typer.echo(f"{one.name} is meant to run and has no job: {one.command}", err=True)
        left.append(one)
    return left


def _deploy(settings: Settings, dataset: str) -> None:
    from orchestration.contracts.resolve import active_contract
    from orchestration.lakehouse.streams.operate import deploy_stream

    own = settings if settings.dataset == dataset else settings.with_changes(dataset=dataset)
    result = deploy_stream(own, active_contract(own), lambda text: typer.echo(text, err=True))
    where = f"from {result.restored_from}" if result.restored_from else "from the offsets that bronze holds"
    typer.echo(f"{result.name} runs as job {result.job_id}, {where}", err=True)
