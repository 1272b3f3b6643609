"""What a catalog, or an engine in front of it, said, as one of the errors of `catalog_errors`.

DuckDB, PyIceberg and Flink say the same things in other words. The patterns were taken from DuckDB 1.5.5, PyIceberg
0.12 and Iceberg 1.11 against Polaris' error bodies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestration.catalog_errors import (
    CatalogAccess,
    file_locked,
    namespace_missing,
    option_unknown,
    secret_manager_setting,
    secret_name_unknown,
    unreachable,
    warehouse_missing,
)
from orchestration.errors import CatalogError, MillraceError, StackError, UnreachableError
from orchestration.redaction import redact

PRIVILEGES: Mapping[str, str] = {
    "LIST_NAMESPACES": "NAMESPACE_LIST",
    "NAMESPACE_EXISTS": "NAMESPACE_LIST",
    "LOAD_NAMESPACE_METADATA": "NAMESPACE_READ_PROPERTIES",
    "CREATE_NAMESPACE": "NAMESPACE_CREATE",
    "DROP_NAMESPACE": "NAMESPACE_DROP",
    "UPDATE_NAMESPACE_PROPERTIES": "NAMESPACE_WRITE_PROPERTIES",
    "LIST_TABLES": "TABLE_LIST",
    "TABLE_EXISTS": "TABLE_LIST",
    "LOAD_TABLE": "TABLE_READ_PROPERTIES",
    "LOAD_TABLE_WITH_READ_DELEGATION": "TABLE_READ_DATA",
    "LOAD_TABLE_WITH_WRITE_DELEGATION": "TABLE_WRITE_DATA",
    "CREATE_TABLE_DIRECT": "TABLE_CREATE",
    "CREATE_TABLE_DIRECT_WITH_WRITE_DELEGATION": "TABLE_CREATE and TABLE_WRITE_DATA",
    "CREATE_TABLE_STAGED": "TABLE_CREATE",
    "CREATE_TABLE_STAGED_WITH_WRITE_DELEGATION": "TABLE_CREATE and TABLE_WRITE_DATA",
    "UPDATE_TABLE": "TABLE_WRITE_PROPERTIES",
    "UPDATE_TABLE_FOR_STAGED_CREATE": "TABLE_CREATE",
    "COMMIT_TRANSACTION": "TABLE_WRITE_PROPERTIES and TABLE_CREATE",
    "DROP_TABLE_WITHOUT_PURGE": "TABLE_DROP",
    "DROP_TABLE_WITH_PURGE": "TABLE_DROP and TABLE_WRITE_DATA",
    "RENAME_TABLE": "TABLE_DROP there, TABLE_LIST and TABLE_CREATE at the new name",
    "REPORT_READ_METRICS": "TABLE_READ_DATA",
    "REPORT_WRITE_METRICS": "TABLE_WRITE_DATA",
}
"""Operation in Polaris' refusal -> the privilege that it takes (Polaris: RbacOperationSemantics)."""


def explain(text: str, access: CatalogAccess, *, is_attached: bool = False, doing: str = "") -> MillraceError | None:
    """Return the error for what an engine said, or None if it is about something else.

    Args:
        is_attached: whether the catalog had accepted the credentials before.
        doing: on which object, in words, such as `model gold.fct_trips`; empty: the text has to say it.
    """
    if is_attached and _is_elsewhere(text, access):
        return None
    for pattern, make in _KINDS:
        if match := pattern.search(text):
            return make(_Said(text, match, access, is_attached, doing))
    return None


def _is_elsewhere(text: str, access: CatalogAccess) -> bool:
    """Whether the addresses in a text are all of other servers, such as the object store."""
    found = re.findall(r"(?:https?|s3a?|gs|abfss)://[^\s'\"]+", text)
    return bool(found) and not any(one.startswith(access.uri) for one in found)


_OF_ICEBERG = re.compile(
    r"org\.apache\.iceberg|not authorized for op|unauthorized_client|invalid_client|invalid_scope|"
    r"Failed to verify the token|Unable to find warehouse|Missing or invalid realm|ForbiddenException: Forbidden"
)


def explain_flink(
    text: str, access: CatalogAccess, *, is_attached: bool = False, doing: str = ""
) -> MillraceError | None:
    """Return the error for a refusal of the catalog that Flink passes on, or None.

    Flink talks to brokers and databases too, whose time-outs and refusals must not be laid at the catalog's door.
    """
    if _OF_ICEBERG.search(text) is None:
        return None
    found = explain(text, access, is_attached=is_attached, doing=doing)
    return None if isinstance(found, UnreachableError) else found


@dataclass(frozen=True)
class _Said:
    text: str
    match: re.Match[str]
    access: CatalogAccess
    is_attached: bool
    doing: str

    @property
    def reason(self) -> str:
        """The engine's own words, in one line."""
        lines = [line.strip() for line in self.text.strip().splitlines()]
        line = next((line for line in lines if self.match[0].splitlines()[0] in line), lines[0] if lines else "")
        line = redact(line)
        if len(line) > 400:
            # Flink lists all options of the catalog before it comes to the point.
            line = f"...{line[-300:]}"
        return line

    @property
    def on(self) -> str:
        """What was being done, as the end of a sentence."""
        return f" ({self.doing})" if self.doing else ""


def _auth(said: _Said) -> MillraceError:
    access = said.access
    if said.is_attached:
        return CatalogError(
            f"{access.where} no longer accepts the token{said.on}, and a new one was refused: {said.reason}",
            hint="the credentials were revoked or rotated while this ran: renew "
            f"{access.credentials or 'them'}, then run again; what was committed stays",
            context={"code": "PLT-TOKEN-EXPIRED"},
        )
    scope = f", scope {access.scope}" if access.scope else ""
    realm = f", realm {access.realm}" if access.realm else ""
    given = f"{access.credentials}{scope}{realm}" if access.credentials else "none were given"
    return CatalogError(
        f"{access.where} refused the credentials ({given}): {said.reason}",
        hint="check the values behind these names, the scope (Polaris: PRINCIPAL_ROLE:<name>), the realm, and that the "
        "address has the whole path (Polaris: /api/catalog)",
        context={"code": "PLT-AUTH"},
    )


def _grant(said: _Said) -> MillraceError:
    operation = re.search(r"not authorized for op (\w+)", said.text)
    principal = re.search(r"Principal '([^']+)'", said.text)
    name = operation[1] if operation else ""
    privilege = PRIVILEGES.get(name, "")
    who = f"the principal {principal[1]}" if principal else "this client"
    what = f"{name}{_object(said.text)}" if name else f"this{_object(said.text)}"
    return CatalogError(
        f"{said.access.where} does not let {who} do {what}{said.on}: {said.reason}",
        hint=f"grant {privilege or 'the privilege'} to its catalog role (platform/polaris/setup.yaml), "
        "or use the principal of this step",
        context={"code": "PLT-GRANT", **({"operation": name, "privilege": privilege} if name else {})},
    )


def _object(text: str) -> str:
    found = re.search(r"/namespaces/([^/\s'\"?]+)(?:/tables/([^/\s'\"?]+))?", text)
    return f" on {'.'.join(part for part in found.groups() if part)}" if found else ""


def _extension(said: _Said) -> MillraceError:
    found = re.search(r"(?:extension |type '?|name )[\"']?(iceberg|httpfs|avro)\b", said.text, re.IGNORECASE)
    name = found[1] if found else "iceberg"
    return StackError(
        f"DuckDB could not load the extension {name}: {said.reason}",
        hint=f"install the package duckdb-extension-{name} of DuckDB's version: `./millrace` installs all packages",
        context={"code": "PLT-EXTENSION", "extension": name},
    )


def _kind(
    pattern: str, make: Callable[[_Said], MillraceError]
) -> tuple[re.Pattern[str], Callable[[_Said], MillraceError]]:
    return re.compile(pattern, re.IGNORECASE), make


# The first that fits decides: a server that does not answer also could give no token.
_KINDS = (
    _kind(
        r"Changing Secret Manager settings",
        lambda said: secret_manager_setting("allow_persistent_secrets, secret_directory or default_secret_storage"),
    ),
    _kind(r"No \w+ secret by the name of '([^']*)' could be found", lambda said: secret_name_unknown(said.match[1])),
    _kind(
        r"Extension \"?[^\n]*\" not found|Failed to download extension|Type with name iceberg does not exist|"
        r"Secret type 'iceberg' does not exist",
        _extension,
    ),
    _kind(
        r"Unhandled options? found: ([\w, ]+)", lambda said: option_unknown(said.match[1].strip(), "of this process")
    ),
    _kind(
        r"Could not set lock on file \"([^\"]*)\"(?:[^\n]*PID (\d+))?",
        lambda said: file_locked(said.match[1], f"process {said.match[2]}" if said.match[2] else "another process"),
    ),
    _kind(
        r"could not connect|could not resolve|could not establish|connection (?:refused|reset)|timeout was reached|"
        r"timed out|SocketTimeoutException|"
        r"\bHTTP (?:Error: )?(?:Request returned HTTP )?(?:500|502|503|504|429)\b|ServiceUnavailable|TooManyRequests|"
        r"\((?:InternalServerError|BadGateway|ServiceUnavailable|GatewayTimeout|TooManyRequests)_\d+\)|"
        r"ServiceFailureException|ServerError:|HttpHostConnectException|UnknownHostException|NoHttpResponseException",
        lambda said: unreachable(said.access, said.reason),
    ),
    _kind(
        r"OAuth2 token request failed|could not get token|unauthorized_client|"
        r"Unauthorized_401|UnauthorizedError|invalid_client|invalid_scope|invalid_grant|"
        r"NotAuthorizedException|AuthorizationExpired|Failed to verify the token|OAuthError|Missing or invalid realm|"
        r"no resource under \S*/oauth/tokens",
        _auth,
    ),
    _kind(r"Forbidden(?:Exception|Error|_403)|not authorized for op", _grant),
    _kind(
        r"Unable to find warehouse[^\n]*|/v1/config\S* returned a non-200 status code "
        r"\((?:NotFound_404|BadRequest_400)\)|/v1/config[^\n]*\b(?:404|400)\b",
        lambda said: warehouse_missing(said.access, said.reason),
    ),
    _kind(
        r"(?:Schema with name|because schema) \"?([\w.]+)\"? (?:not found|does not exist)|"
        r"Namespace does not exist: ([\w.]+)|NoSuchNamespace[A-Za-z]*: ([\w.]*)",
        lambda said: namespace_missing(said.access, [next((one for one in said.match.groups() if one), "?")]),
    ),
)
