"""`${VAR:default}` in the section `orchestration`: replaced before it is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from orchestration.platform_config.document import Document, Path_
from orchestration.platform_config.faults import Fault, TierError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


def with_variables(document: Document, section: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the document's data, with the variables in one section replaced. `${VAR}` without a default must exist.

    Raises:
        TierError: names every variable that does not, with its line.
    """
    if section not in document.data:
        return document.data
    faults: list[Fault] = []

    def replace(text: str, path: Path_) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            found = environ.get(name) or default
            if found is None:
                what = f"the variable {name} is not set and has no default"
                faults.append(document.fault(path, what, f"export {name}, or write ${{{name}:DEFAULT}}"))
            return found or ""

        return _VARIABLE.sub(value, text)

    def walk(value: object, path: Path_) -> object:
        if isinstance(value, str):
            return replace(value, path)
        if isinstance(value, Mapping):
            items = cast("Mapping[str, object]", value).items()
            return {name: walk(item, (*path, name)) for name, item in items}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(cast("list[object]", value))]
        return value

    data = {**document.data, section: walk(document.data[section], (section,))}
    if faults:
        raise TierError(faults)
    return data
