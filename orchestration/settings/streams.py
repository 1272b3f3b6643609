"""Settings of the watch over streams: when one is ill, how it is healed, who is told. A part of `Settings`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

Pause = Annotated[float, Field(ge=1, le=86_400)]


class StreamSettings(BaseSettings):
    """The watch over streams (orchestration/lakehouse/streams/verdict.py, healing.py)."""

    stream_max_lag_records: int = Field(default=10_000, ge=0, description="a larger lag that does not fall is trouble")
    stream_heal_attempts: int = Field(default=5, ge=0, le=100, description="redeploys within the window; 0: only alert")
    stream_heal_window_s: Pause = Field(default=1800.0, description="after an attempt it counts for so long")
    stream_heal_pause_s: Pause = Field(default=15.0, description="after the first attempt; doubles with each")
    marts_refresh_interval_s: Pause = Field(default=60.0, description="least time between two refreshes of the marts")

    alert_email_to: str | None = Field(default=None, description="addresses with commas; None: no e-mail")
    alert_email_from: str | None = Field(default=None, description="None: the first of ALERT_EMAIL_TO")
    smtp_host: str | None = Field(default=None, description="mail server; None: no e-mail")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = Field(default=None, description="None: no login")
    smtp_password: SecretStr | None = None
    smtp_starttls: bool = Field(default=True, description="refuse to send without TLS")
