"""One embedded stack for all integration tests; a test fails, and is not skipped, when it cannot be started.

MILLRACE_TEST_STACK=<state_dir>:<instance> uses a stack that runs already and leaves it running: for fast development.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.embedded.purge import purge_instance
from orchestration.embedded.stack import Stack
from orchestration.settings import Settings, load_settings

_FROM_ENVIRONMENT = ("HOME", "XDG_CACHE_HOME", "MILLRACE_CACHE")


def stack_environ(state_dir: Path, instance: str) -> dict[str, str]:
    """Return the environment that settings of a test stack are loaded from; nothing else of the caller's counts."""
    chosen = {name: os.environ[name] for name in _FROM_ENVIRONMENT if name in os.environ}
    return chosen | {"MILLRACE_STATE_DIR": str(state_dir), "MILLRACE_INSTANCE": instance, "MILLRACE_PROFILE": "local"}


def make_stack(state_dir: Path, instance: str, **environ: str) -> Stack:
    """Return a stack that is not started."""
    return Stack(load_settings(environ=stack_environ(state_dir, instance) | environ))


@pytest.fixture(scope="session")
def state_dir() -> Iterator[Path]:
    """State folder of the test stacks: a short path, because Unix sockets have little room, outside the checkout."""
    path = Path(tempfile.mkdtemp(prefix="millrace-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(state_dir: Path) -> Iterator[Stack]:
    """The running stack `test`, on free ports."""
    given = os.environ.get("MILLRACE_TEST_STACK")
    if given:
        folder, _, instance = given.rpartition(":")
        found = make_stack(Path(folder), instance)
        found.up()
        yield found
        return
    started = make_stack(state_dir, "test")
    try:
        started.up()
        yield started
    finally:
        started.down()
        purge_instance(started.settings)


@pytest.fixture(scope="session")
def settings(stack: Stack) -> Settings:
    """The settings of the running stack."""
    return stack.settings


@pytest.fixture(scope="session")
def environ(settings: Settings) -> dict[str, str]:
    """Environment for commands that are run as processes against the running stack."""
    return os.environ | stack_environ(settings.state_dir, settings.instance)
