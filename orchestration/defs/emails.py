"""E-mail about failed runs, by Dagster's run-failure sensor and the mail server that the settings name."""

import smtplib
import ssl
from email.message import EmailMessage

import dagster as dg

from orchestration.defs.resources import MillraceSettings
from orchestration.defs.stream_sensors import HEALS
from orchestration.redaction import redact
from orchestration.settings import Settings


# Not Dagster's make_email_on_run_failure_sensor: it takes the password when definitions load, which read no settings.
@dg.run_failure_sensor(
    name="failed_run_email",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Mails each failed run to ALERT_EMAIL_TO, if SMTP_HOST is set. Not the single tries of stream_health "
    "to heal a stream: when they were all in vain, one mail says so.",
)
def failed_run_email(context: dg.RunFailureSensorContext, millrace: MillraceSettings) -> None:
    """Mail one failed run."""
    settings, run = millrace.load(), context.dagster_run
    if not settings.smtp_host or not settings.alert_email_to or HEALS in run.tags:
        return
    causes = [cause for event in context.get_step_failure_events() if (cause := _cause(event))]
    send_mail(settings, build_mail(settings, run.job_name, run.run_id, causes or [context.failure_event.message or ""]))


def build_mail(settings: Settings, job: str, run_id: str, causes: list[str]) -> EmailMessage:
    """Return the mail about a failed run; its texts are without secrets."""
    to = [address.strip() for address in (settings.alert_email_to or "").split(",") if address.strip()]
    mail = EmailMessage()
    mail["Subject"] = f"Millrace: {job} failed"
    mail["From"] = settings.alert_email_from or to[0]
    mail["To"] = ", ".join(to)
    reasons = "\n".join(redact(cause) for cause in causes)
    mail.set_content(f"{reasons}\n\nrun {run_id} of instance {settings.instance}\n")
    return mail


def send_mail(settings: Settings, mail: EmailMessage) -> None:
    """Hand a mail to the server of the settings.

    Raises:
        smtplib.SMTPException, OSError: it did not take it; the tick fails, and the next one tries again.
    """
    with smtplib.SMTP(settings.smtp_host or "", settings.smtp_port, timeout=30) as server:
        if settings.smtp_starttls:
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            password = settings.smtp_password
            server.login(settings.smtp_user, password.get_secret_value() if password else "")
        server.send_message(mail)


def _cause(event: dg.DagsterEvent) -> str | None:
    """Return why a step failed: the description of its Failure, else its error."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return f"{event.step_key}: {data.user_failure_data.description}"
    return f"{event.step_key}: {data.error.message.strip()}" if data.error is not None else None
