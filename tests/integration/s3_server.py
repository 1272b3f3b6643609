"""An S3-compatible server over a folder, on loopback, that checks signatures (version 4)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from orchestration.embedded.jars import JarCache, read_lock
from orchestration.embedded.java import java_binary
from orchestration.embedded.server import class_path, common_jvm_args, properties
from orchestration.settings import Settings
from orchestration.waiting import Backoff, wait_for
from tests.integration.lake import closed_port

KEY_ID = "lake-writer-key-id"
SECRET_KEY = "Pl4nted+secret/of-the-lake"
"""No test may find it in a log, a file or a list of processes; it has what URLs and SQL would escape."""
REGION = "eu-central-1"


@dataclass(frozen=True)
class S3Server:
    """A running server. `folder` has a folder for each bucket."""

    endpoint: str
    folder: Path

    def objects(self, bucket: str) -> set[str]:
        """Return the keys of a bucket."""
        top = self.folder / bucket
        return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}

    def environ(self, bucket: str) -> dict[str, str]:
        """Return the settings of a lake in a bucket, without keys."""
        return {
            "STORAGE": "s3",
            "WAREHOUSE": f"s3://{bucket}/wh/",
            "S3_ENDPOINT": self.endpoint,
            "S3_PATH_STYLE": "true",
            "AWS_REGION": REGION,
        }


KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@contextmanager
def open_s3_server(settings: Settings, folder: Path, *buckets: str) -> Iterator[S3Server]:
    """Give a server with empty buckets; ends it afterwards.

    Args:
        settings: name the lock and the cache of jars.
    """
    for bucket in buckets:
        (folder / "buckets" / bucket).mkdir(parents=True)
    (folder / "tmp").mkdir()
    endpoint = f"http://127.0.0.1:{closed_port()}"
    config = folder / "s3proxy.properties"
    config.touch(mode=0o600)
    config.write_text(
        properties(
            {
                "s3proxy.endpoint": endpoint,
                "s3proxy.authorization": "aws-v4",
                "s3proxy.identity": KEY_ID,
                "s3proxy.credential": SECRET_KEY,
                "jclouds.provider": "filesystem-nio2",
                "jclouds.filesystem.basedir": folder / "buckets",
            }
        )
    )
    lock = read_lock(settings.platform_dir)
    jars = JarCache(settings.cache_dir / "jars").ensure([*lock["s3proxy"], *lock["s3"]])
    arguments = [
        *common_jvm_args(folder, heap_mb=192, is_short_lived_code=True),
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        # Its main program turns System.err into log lines: a log on System.err would call itself.
        f"-Dorg.slf4j.simpleLogger.logFile={folder / 's3proxy.log'}",
        *("-cp", class_path(jars)),
        *("org.gaul.s3proxy.Main", "--properties", str(config)),
    ]
    with (folder / "s3proxy.out").open("wb") as out:
        process = subprocess.Popen([str(java_binary()), *arguments], stdout=out, stderr=out, env=dict(os.environ))
    try:
        wait_for(lambda: _answers(endpoint), what="the S3 server", timeout_s=120, backoff=Backoff(0.1, 0.3))
        yield S3Server(endpoint, folder / "buckets")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(endpoint: str) -> tuple[bool | None, object]:
    try:
        status = httpx.get(f"{endpoint}/", trust_env=False).status_code
    except httpx.HTTPError as error:
        return None, type(error).__name__
    # Nobody signed the question.
    return (True if status == 403 else None), status
