"""Removal of everything that running Millrace made in a checkout; the shared cache stays."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from orchestration.errors import StackError
from orchestration.settings import Settings

_MADE_IN_CHECKOUT = (
    "dbt/target",
    "dbt/logs",
    "dbt/dbt_packages",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
)
_NOT_OURS = frozenset({".git", ".venv", ".millrace", "node_modules"})


def purge_instance(settings: Settings) -> list[Path]:
    """Delete the instance's folder; if it was the last one of this checkout, also what tools left in the checkout.

    The stack must be down. Returns what was removed.
    """
    removed: list[Path] = []

    def remove(path: Path) -> None:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            return
        removed.append(path)

    try:
        remove(settings.instance_dir)
        (settings.state_dir / f"{settings.instance}.stack.lock").unlink(missing_ok=True)
        if any(path.is_dir() for path in settings.state_dir.glob("*")):
            return removed
        if settings.state_dir.is_dir():
            remove(settings.state_dir)
        if settings.state_dir == settings.repo_root / ".millrace":
            # What is imported from now on must not be compiled into the checkout again.
            sys.dont_write_bytecode = True
            for name in _MADE_IN_CHECKOUT:
                remove(settings.repo_root / name)
            for path in _bytecode_folders(settings.repo_root):
                shutil.rmtree(path)
            environment = settings.repo_root / ".venv"
            if environment.is_symlink():
                remove(environment)
    except OSError as error:
        raise StackError(f"cannot remove {error.filename}: {error.strerror}") from error
    return removed


def _bytecode_folders(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, names, _ in os.walk(root):
        names[:] = [name for name in names if name not in _NOT_OURS]
        if "__pycache__" in names:
            names.remove("__pycache__")
            found.append(Path(folder) / "__pycache__")
    return found
