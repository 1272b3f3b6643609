"""The jar lock and cache, on a repository of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestration.embedded import jars
from orchestration.embedded.jars import Jar, JarCache, parse_lock, read_lock
from orchestration.errors import ConfigError, StackError

CONTENT = b"a library"
SHA = hashlib.sha256(CONTENT).hexdigest()
JAR = Jar("org.example:lib:1.0", SHA, len(CONTENT))
TESTS_JAR = Jar("org.example:lib:1.0:jar:tests", SHA, len(CONTENT))
PLATFORM = Path(__file__).parents[3] / "platform"


def repository(tmp_path: Path, content: bytes = CONTENT) -> Any:
    """A local Maven repository that holds JAR, as the context that jgo would make of the user's settings."""
    path = tmp_path / "m2" / JAR.relative_path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return SimpleNamespace(repo_cache=tmp_path / "m2", remote_repos={})


@pytest.mark.parametrize(
    ("jar", "path"),
    [
        pytest.param(JAR, "org/example/lib/1.0/lib-1.0.jar", id="plain"),
        pytest.param(TESTS_JAR, "org/example/lib/1.0/lib-1.0-tests.jar", id="classifier"),
    ],
)
def test_a_jar_lies_where_a_maven_repository_has_it(jar: Jar, path: str) -> None:
    assert jar.relative_path == Path(path)


def test_the_lock_keeps_components_and_their_order() -> None:
    text = f"# comment\n\nb org.example:z:1 {SHA} 1\nb org.example:a:1 {SHA} 2\na org.example:z:1 {SHA} 1\n"
    assert parse_lock(text) == {
        "b": (Jar("org.example:z:1", SHA, 1), Jar("org.example:a:1", SHA, 2)),
        "a": (Jar("org.example:z:1", SHA, 1),),
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"a org.example:z {SHA} 1", id="no-version"),
        pytest.param("a org.example:z:1 abc 1", id="short-checksum"),
        pytest.param(f"a org.example:z:1 {SHA}", id="no-size"),
        pytest.param(f"a ../../etc:z:1/x {SHA} 1", id="path-in-coordinate"),
        pytest.param("<<<<<<< HEAD", id="merge-conflict"),
    ],
)
def test_a_damaged_lock_names_the_line(line: str) -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parse_lock(f"# first\n{line}\n")


def test_the_committed_lock_has_every_component_and_no_address() -> None:
    assert set(read_lock(PLATFORM)) == {"flink", "s3", "s3-catalog", "s3proxy", "kafka", "catalog"}
    for name in ("jars.lock", "jars.toml"):
        assert "://" not in (PLATFORM / "jars" / name).read_text(encoding="utf-8")


def test_a_component_has_one_version_of_each_library() -> None:
    for component, found in read_lock(PLATFORM).items():
        names = [":".join((*jar.coordinate.split(":")[:2], *jar.coordinate.split(":")[3:])) for jar in found]
        assert len(names) == len(set(names)), component


def test_a_missing_jar_is_fetched_once_and_reported(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    cache = JarCache(tmp_path / "cache", repository(tmp_path))
    assert cache.ensure([JAR], lambda done, total: seen.append((done, total))) == [cache.path(JAR)]
    assert cache.path(JAR).read_bytes() == CONTENT
    assert seen == [(len(CONTENT), len(CONTENT))]
    cache.ensure([JAR], lambda done, total: seen.append((done, total)))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(CONTENT[:-1], id="truncated"),
        pytest.param(b"A library", id="altered"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_damaged_jar_in_the_cache_is_fetched_again(tmp_path: Path, damaged: bytes) -> None:
    cache = JarCache(tmp_path / "cache", repository(tmp_path))
    cache.path(JAR).parent.mkdir(parents=True)
    cache.path(JAR).write_bytes(damaged)
    cache.ensure([JAR])
    assert cache.path(JAR).read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_download", lambda context, jar: iter([b"A lib", b"rary"]))
    cache = JarCache(tmp_path / "cache", SimpleNamespace(repo_cache=tmp_path / "none", remote_repos={}))  # pyright: ignore
    with pytest.raises(StackError, match=r"org\.example:lib:1\.0 has another checksum"):
        cache.ensure([JAR])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_local_repository_with_an_altered_file_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_download", lambda context, jar: iter([CONTENT]))
    cache = JarCache(tmp_path / "cache", repository(tmp_path, b"A library"))
    cache.ensure([JAR])
    assert cache.path(JAR).read_bytes() == CONTENT


def test_without_a_repository_the_coordinate_is_named(tmp_path: Path) -> None:
    cache = JarCache(tmp_path / "cache", SimpleNamespace(repo_cache=tmp_path / "none", remote_repos={}))  # pyright: ignore
    with pytest.raises(StackError, match=r"cannot fetch org\.example:lib:1\.0"):
        cache.ensure([JAR])
