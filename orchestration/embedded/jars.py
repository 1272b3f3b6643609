"""Jars by coordinates: the committed list and lock, and a cache of verified files shared by all checkouts."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import ssl
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.errors import ConfigError, StackError, UnreachableError

if TYPE_CHECKING:
    from jgo.maven import Dependency, MavenContext

_CHUNK = 1 << 20
_SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_COORDINATE = re.compile(r"^[\w.\-]+:[\w.\-]+:[\w.\-]+(:jar:[\w.\-]+)?$")
Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""


@dataclass(frozen=True, order=True)
class Jar:
    """One file of the lock: a coordinate, the SHA-256 of its content in hex, and its size."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def relative_path(self) -> Path:
        """Path in a Maven repository, and in the cache."""
        group, artifact, version, *rest = self.coordinate.split(":")
        classifier = f"-{rest[1]}" if rest else ""
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}{classifier}.jar")


def parse_lock(text: str) -> dict[str, tuple[Jar, ...]]:
    """Return the jars of each component, in class path order. A line is `component coordinate sha256 size`.

    Raises:
        ConfigError: a line is not of that form; names the line.
    """
    result: dict[str, list[Jar]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 4 or not _COORDINATE.match(fields[1]) or len(fields[2]) != 64 or not fields[3].isdigit():
            raise ConfigError(
                f"platform/jars/jars.lock line {number} is not `component coordinate sha256 size`",
                hint="restore the file from git, or write it again with `millrace jars lock`",
            )
        result.setdefault(fields[0], []).append(Jar(fields[1], fields[2], int(fields[3])))
    return {component: tuple(jars) for component, jars in result.items()}


def read_lock(platform_dir: Path) -> dict[str, tuple[Jar, ...]]:
    """Return the committed lock.

    Raises:
        ConfigError: it is missing or damaged.
    """
    path = platform_dir / "jars" / "jars.lock"
    try:
        return parse_lock(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing", hint="restore it from git") from None


def is_intact(path: Path, jar: Jar) -> bool:
    """Whether `path` holds exactly the locked bytes."""
    try:
        if path.stat().st_size != jar.size_bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


class JarCache:
    """Verified jars in `<cache>/jars`, laid out like a Maven repository. Safe for several processes at once."""

    def __init__(self, folder: Path, context: MavenContext | None = None) -> None:
        self._folder = folder
        self._context = context

    def path(self, jar: Jar) -> Path:
        """Return where a jar is or will be."""
        return self._folder / jar.relative_path

    def missing(self, jars: Iterable[Jar]) -> list[Jar]:
        """Return the jars that are absent, truncated or damaged. Reads every byte (0.2 s for all five servers)."""
        unique = sorted(set(jars))
        with ThreadPoolExecutor(4) as pool:
            intact = pool.map(lambda jar: is_intact(self.path(jar), jar), unique)
        return [jar for jar, good in zip(unique, intact, strict=True) if not good]

    def ensure(self, jars: Sequence[Jar], on_progress: Progress | None = None) -> list[Path]:
        """Return the paths of `jars`, in their order, after fetching those that are not there intact.

        Raises:
            UnreachableError: a repository does not answer.
            StackError: a jar is nowhere, or its content is not what the lock says, or the disk is full.
        """
        wanted = self.missing(jars)
        if wanted:
            total, done = sum(jar.size_bytes for jar in wanted), 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                if on_progress:
                    on_progress(done, total)

            with ThreadPoolExecutor(6) as pool:
                for future in [pool.submit(self._fetch, jar, advance) for jar in wanted]:
                    future.result()
        return [self.path(jar) for jar in jars]

    def _fetch(self, jar: Jar, advance: Callable[[int], None]) -> None:
        target = self.path(jar)
        context = self._context or maven_context()
        local = context.repo_cache / jar.relative_path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
            temporary = Path(name)
            try:
                if is_intact(local, jar):
                    os.close(descriptor)
                    shutil.copyfile(local, temporary)
                    advance(jar.size_bytes)
                else:
                    with os.fdopen(descriptor, "wb") as file:
                        for chunk in _download(context, jar):
                            file.write(chunk)
                            advance(len(chunk))
                if not is_intact(temporary, jar):
                    raise StackError(
                        f"{jar.coordinate} has another checksum than platform/jars/jars.lock says",
                        hint="the repository or mirror serves altered files: check its configuration; nothing was used",
                    )
                temporary.chmod(0o644)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            raise StackError(
                f"cannot write {target}: {error.strerror or error}", hint="free space in the cache folder"
            ) from error


def _download(context: MavenContext, jar: Jar) -> Iterable[bytes]:
    """Yield the content from the first repository that has it, through the same HTTP client as the resolver.

    That client honours proxies, .netrc and REQUESTS_CA_BUNDLE. Without the latter the system's certificates count: a
    company's own one is only there.
    """
    from jgo.util import http
    from requests import RequestException

    seen: list[str] = []
    for name, base in context.remote_repos.items():
        url = f"{base.rstrip('/')}/{jar.relative_path.as_posix()}"
        try:
            with http.get(url, stream=True, timeout=60, verify=_certificates()) as response:
                if response.status_code == 200:
                    yield from response.iter_content(_CHUNK)
                    return
                seen.append(f"{name} answered {response.status_code}")
        except RequestException as error:
            seen.append(f"{name} does not answer ({type(error).__name__})")
    text = f"cannot fetch {jar.coordinate}: {', '.join(seen) or 'no repository is configured'}"
    hint = "check the network and the proxy; a mirror goes into [repositories] of jgo's configuration file"
    raise (UnreachableError if any("not answer" in line for line in seen) else StackError)(text, hint=hint)


def _certificates() -> str | bool:
    """Return requests' `verify`: True leaves the choice to it and its environment variables."""
    from requests import Session

    chosen = Session().merge_environment_settings("https://localhost", {}, None, None, None)["verify"]
    if isinstance(chosen, str):
        return chosen
    system = ssl.get_default_verify_paths().cafile
    return next((path for path in (system, *_SYSTEM_CERTIFICATES) if path and Path(path).is_file()), True)


def maven_context(repo_cache: Path | None = None) -> MavenContext:
    """Return jgo's context with the user's ordinary jgo settings: repositories (a mirror) and local repository."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    user = GlobalSettings.load()
    return MavenContext(
        repo_cache=repo_cache or user.repo_cache, remote_repos=dict(user.repositories) or None, timeout=60
    )


def write_lock(platform_dir: Path, cache_dir: Path) -> Path:
    """Resolve `jars.toml` anew and write `jars.lock`; returns its path. Needs the network.

    The resolver verifies each file against the repository's SHA-1; the lock then pins its SHA-256.
    """
    folder = platform_dir / "jars"
    components = tomllib.loads((folder / "jars.toml").read_text(encoding="utf-8"))
    context = maven_context(cache_dir / "resolver")
    lines = ["# Written by `millrace jars lock` from jars.toml. component coordinate sha256 size"]
    for component, spec in components.items():
        chosen: dict[str, Dependency] = {}
        for item in _resolved(context, spec.get("resolve", ()), spec.get("plain", ())):
            chosen.setdefault(_without_version(item), item)
        for item in chosen.values():
            content = Path(item.artifact.resolve()).read_bytes()
            lines.append(f"{component} {_coordinate(item)} {hashlib.sha256(content).hexdigest()} {len(content)}")
    path = folder / "jars.lock"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _resolved(context: MavenContext, resolve: Iterable[str], plain: Iterable[str]) -> Iterable[Dependency]:
    for coordinate in resolve:
        direct, indirect = context.resolver.resolve([context.create_dependency(_to_jgo(coordinate))], transitive=True)
        yield from direct
        yield from sorted(indirect, key=_coordinate)
    for coordinate in plain:
        yield context.create_dependency(_to_jgo(coordinate))


def _to_jgo(coordinate: str) -> str:
    """Return jgo's order group:artifact:packaging:classifier:version."""
    group, artifact, version, *rest = coordinate.split(":")
    return ":".join([group, artifact, *rest, version])


def _coordinate(item: Dependency) -> str:
    plain = f"{item.groupId}:{item.artifactId}:{item.version}"
    return f"{plain}:jar:{item.classifier}" if item.classifier else plain


def _without_version(item: Dependency) -> str:
    return f"{item.groupId}:{item.artifactId}:{item.classifier or ''}"
