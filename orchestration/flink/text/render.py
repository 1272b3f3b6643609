"""Strict rendering of the templates in `flink_sql/`.

A template names its variables as `${NAME}`. A variable that is missing, or given and not used, is an error that names
the file, the line and the variable. Values are inserted as they are and never scanned again, so a value may hold `${}`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from orchestration.errors import TemplateError
from orchestration.redaction import redact

TEMPLATES_DIR = Path(__file__).resolve().parents[3] / "flink_sql"

_VARIABLE = re.compile(r"\$\{([^}\n]*)\}")
_COMMENT_LINE = re.compile(r"^\s*--.*\n", re.MULTILINE)


def render(template: str, variables: Mapping[str, str], templates_dir: Path = TEMPLATES_DIR) -> str:
    """Return the SQL of `flink_sql/<template>` with `variables` filled in, without its comment lines.

    Raises:
        TemplateError: the template does not exist, needs a variable that is not given, or leaves one unused.
    """
    path = templates_dir / template
    if not path.is_file():
        raise TemplateError(f"template {path} does not exist")
    text = path.read_text(encoding="utf-8")
    used: set[str] = set()
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("--"):
            continue
        for name in _VARIABLE.findall(line):
            used.add(name)
            if name not in variables:
                problems.append(f"{template}:{number}: unknown variable ${{{name}}}")
    problems += [f"{template}: variable {name!r} is given and not used" for name in sorted(set(variables) - used)]
    if problems:
        raise TemplateError("; ".join(problems), hint=f"known variables: {', '.join(sorted(variables)) or 'none'}")
    body = _COMMENT_LINE.sub("", text).strip().rstrip(";")
    return _VARIABLE.sub(lambda match: variables[match[1]], body)


def render_used(template: str, known: Mapping[str, str], templates_dir: Path = TEMPLATES_DIR) -> str:
    """Return the same as `render` for a template that need not name all the `known` variables.

    Raises:
        TemplateError: the template does not exist, or names a variable that is not known.
    """
    path = templates_dir / template
    used = set(_VARIABLE.findall(_COMMENT_LINE.sub("", path.read_text(encoding="utf-8")))) if path.is_file() else set()
    return render(template, {name: value for name, value in known.items() if name in used}, templates_dir)


def write_rendered(folder: Path, name: str, statements: Mapping[str, str]) -> Path:
    """Write the statements of a run, secrets masked, to `<folder>/<name>.sql` for people to read; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.sql"
    text = "\n\n".join(f"-- {title}\n{redact(sql)};" for title, sql in statements.items()) + "\n"
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
    return path
