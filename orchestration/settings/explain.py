"""Where a setting's value came from, in words: file and line, variable, profile, container, default."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from orchestration.errors import NotFoundError
from orchestration.redaction import redact
from orchestration.secrets import variable_of
from orchestration.settings import names
from orchestration.settings.model import Settings


@dataclass(frozen=True)
class Explanation:
    """A setting's value and origin.

    Attributes:
        value: for people; secrets masked. None: there is none.
        origin: where it came from.
        overridden: (origin, value) of what was given and does not count, the strongest first.
        secret: the reference that fills it, and where that is looked up.
    """

    name: str
    value: Any
    origin: str
    meaning: str
    overridden: tuple[tuple[str, str], ...] = ()
    secret: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for machines."""
        return asdict(self) | {"overridden": [{"origin": place, "value": value} for place, value in self.overridden]}


def explain(settings: Settings, key: str) -> Explanation:
    """Return where the value of a setting came from.

    Args:
        key: a variable's name, or a path such as `duckdb.memory_limit` or `catalog.uri`.

    Raises:
        NotFoundError: no setting has this name; proposes the closest.
    """
    fields = names.field_names(type(settings).model_fields)
    name = re.sub(r"[.\-]", "_", key.strip())
    field = fields.get(name.upper()) or fields.get(f"MILLRACE_{name.upper()}")
    if field is None:
        near = get_close_matches(name.upper(), fields, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "`millrace config show` lists every setting"
        raise NotFoundError(f"there is no setting {key!r}", hint=hint)
    trail = [(_in_words(settings, field, source), value) for source, value in settings.trail_of(field)]
    reference = settings.references.get(field)
    description = type(settings).model_fields[field].description or ""
    return Explanation(
        name=names.env_name(field),
        value=settings.redacted_dump()[field],
        origin=_in_words(settings, field, settings.source_of(field)),
        meaning=redact(description),
        overridden=tuple(trail[1:]),
        secret=f"{reference.name}: {_place_of(settings, field, reference.name)}" if reference else None,
    )


def _place_of(settings: Settings, field: str, name: str) -> str:
    if field in settings.pending:
        return f"no value in the variable {variable_of(name)} nor at {settings.secrets_dir / name}; managers not asked"
    is_variable = bool(settings.secret_places.environ.get(variable_of(name)))
    return f"variable {variable_of(name)}" if is_variable else str(settings.secrets_dir / name)


def _in_words(settings: Settings, field: str, source: str) -> str:
    if source == "environment":
        known = names.field_names(type(settings).model_fields)
        spellings = [names.env_name(field), *(name for name, meant in known.items() if meant == field)]
        used = next((name for name in spellings if name in settings.secret_places.environ), names.env_name(field))
        return f"variable {used}"
    if source == "stack.env":
        return f"{settings.stack_env_path}, the embedded stack"
    if source == "cgroup":
        return "67 % of the container's memory limit (cgroup)"
    path = settings.profile_path
    if path is not None and source == path.name:
        return f"{path}{_line_of(settings, field)}"
    return source


def _line_of(settings: Settings, field: str) -> str:
    path = settings.profile_path
    if path is None or not path.is_file():
        return ""
    known = names.field_names(type(settings).model_fields)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if known.get(line.partition("=")[0].strip().removeprefix("export ").strip()) == field:
            return f":{number}"
    return ""
