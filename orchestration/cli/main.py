"""`millrace`: the root command, its global options, and the one place where an error becomes a line for people."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from orchestration.cli.commands import LazyGroup
from orchestration.cli.terminal import print_json, say
from orchestration.errors import MillraceError, StackError

_VALUE_OPTIONS = frozenset({"--instance", "--profile"})
_FLAGS = frozenset({"--debug"})
_OPAQUE = frozenset({"test"})
"""Commands that hand all that follows them to another program."""
INTERRUPTED = 130

app = typer.Typer(
    name="millrace",
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(is_wanted: bool) -> None:
    if not is_wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"millrace {version('millrace')}")
    except PackageNotFoundError:
        typer.echo("millrace, from a checkout that is not installed")
    raise typer.Exit


@app.callback(
    epilog="Examples:  millrace demo  |  millrace run --data trips/  |  millrace --instance two up\n\n"
    "`millrace COMMAND --help` shows a command's options and examples."
)
def root(
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="NAME", help="Which local stack; default: default.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Which profile of platform/profiles.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Millrace: a streaming lakehouse on Kafka, Flink, Iceberg, dbt and DuckDB, run by Dagster.

    --instance, --profile and --debug may stand before or after the command.
    """


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the global options in front of the command; stops at `--` and at a command that passes its arguments on."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--" or (word in _OPAQUE and not rest):
            return [*front, *rest, word, *waiting]
        if word in _FLAGS or (name in _VALUE_OPTIONS and equals):
            front.append(word)
        elif word in _VALUE_OPTIONS and waiting:
            front += [word, waiting.pop(0)]
        else:
            rest.append(word)
    return [*front, *rest]


def _choose(arguments: Sequence[str]) -> None:
    """Put --instance and --profile into the environment: all that loads settings, child processes too, follows them."""
    variables = {"--instance": "MILLRACE_INSTANCE", "--profile": "MILLRACE_PROFILE"}
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in variables:
            os.environ[variables[name]] = value if equals else next(words, "")
        elif word not in _FLAGS:
            return


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, the error's exit code, 2 for wrong usage, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(hoist(given)))


def run(arguments: Sequence[str]) -> int:
    """Run hoisted arguments and return the exit code; prints errors as `error: …` and `hint: …`."""
    is_json, is_debug = asks_for_json(arguments), "--debug" in arguments
    _choose(arguments)
    try:
        code = app(args=list(arguments), prog_name="millrace", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted; the interpreter would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:
        return _refuse_usage(error)
    except BaseExceptionGroup as group:
        return _report(first_of(group), is_json, is_debug)
    # The boundary: no traceback reaches a user who did not ask for it.
    except Exception as error:  # noqa: BLE001
        return _report(error, is_json, is_debug)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether the command's result is one JSON document, so that its error is one too."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return (
        "--json" in arguments
        or "--output=json" in arguments
        or any(word in ("--output", "-o") and value == "json" for word, value in pairs)
    )


def first_of(error: BaseException) -> BaseException:
    """Return the first error of a group that is ours, else the first one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = [first_of(one) for one in error.exceptions]
    return next((one for one in found if isinstance(one, MillraceError)), found[0])


def as_millrace_error(error: BaseException) -> MillraceError:
    """Return the error as one of ours: itself, a full disk or a forbidden file in words, or a fault of the program."""
    if isinstance(error, MillraceError):
        return error
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StackError(
            f"the disk is full{_file_of(error)}", hint="free space, or set MILLRACE_STATE_DIR to another disk"
        )
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StackError(
            f"no permission{_file_of(error)}", hint="run as the owner of that file, or change its permissions"
        )
    if isinstance(error, ModuleNotFoundError):
        return MillraceError(
            f"the package {error.name} is not installed", hint="run ./millrace, which installs the lock"
        )
    if isinstance(error, OSError):
        from orchestration.storage_errors import storage_error_of

        if (of_store := storage_error_of(error)) is not None:
            return of_store
    text = " ".join(str(error).split())[:500]
    return MillraceError(
        f"unexpected {type(error).__name__}{f': {text}' if text else ''}",
        hint="this is a fault of millrace; the same command with --debug shows where it is",
    )


def _file_of(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _report(error: BaseException, is_json: bool, is_debug: bool) -> int:
    if is_debug:
        import traceback

        traceback.print_exception(error)
    known = as_millrace_error(error)
    say(f"error: {known.message}")
    if known.hint:
        say(f"hint: {known.hint}")
    if is_json:
        print_json({"error": error_document(known)})
    return known.exit_code


def error_document(error: MillraceError) -> dict[str, Any]:
    """Return an error for machines."""
    return {
        "type": type(error).__name__,
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "is_retryable": error.is_retryable,
        "context": error.context,
    }


def _refuse_usage(error: typer.TyperException) -> int:
    show: Any = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        say(f"error: {error.format_message()}")
    return error.exit_code


if __name__ == "__main__":
    main()
