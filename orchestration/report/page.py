"""The report as one HTML file: no script, no address, nothing that a browser would have to fetch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from orchestration.errors import InputError
from orchestration.report.charts import IN_PAGE
from orchestration.report.content import Report
from orchestration.report.drawing import PHONE, WIDE, draw_svg
from orchestration.report.plots import Column, money, rejected_by_rule
from orchestration.settings import Settings

_HERE = Path(__file__).parent
_STATES = {
    "holds": "Every row is accounted for",
    "late": "No row is missing; some are still on their way",
    "broken": "The accounting does not hold",
}
_UNITS = ("B", "KB", "MB", "GB", "TB")


def report_path(settings: Settings) -> Path:
    """Return where the report goes unless somebody says otherwise."""
    return settings.instance_dir / "report.html"


def render_page(report: Report) -> str:
    """Return the page. Every value is escaped; the drawings are the only markup from outside the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(number=number, size=size, when=when, duration=duration, cell=cell, money=money)
    refused = rejected_by_rule(
        [(part.name, part.rows, report.descriptions.get(part.name, "")) for part in report.accounting.rejected_by]
    )
    plots = {plot.name: plot for plot in (*report.plots, refused)}
    return environment.get_template("page.html.j2").render(
        report=report,
        plots=plots,
        # Markup: `draw_svg` writes them as XML, in which every text is escaped.
        drawings={
            name: {"wide": Markup(draw_svg(plot, WIDE, IN_PAGE)), "phone": Markup(draw_svg(plot, PHONE, IN_PAGE))}
            for name, plot in plots.items()
            if not plot.is_empty
        },
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        verdict=_STATES[report.accounting.state],
        figures=figures(report),
        period=period(report),
    )


def write_page(report: Report, path: Path) -> Path:
    """Write the page and return its absolute path; a reader sees the old file or the new one, never a part.

    Raises:
        InputError: the file cannot be written there.
    """
    page, path = render_page(report), path.absolute()
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(page)
        written = Path(file.name)
        try:
            written.chmod(0o644)
            written.replace(path)
        except OSError:
            written.unlink(missing_ok=True)
            raise
    return path


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", hint="give another file with --output"
        ) from error


def figures(report: Report) -> Mapping[str, str]:
    """Return the few numbers at the top; none if there are no trips."""
    paid = report.plot("payments").rows
    trips, revenue = sum(row[1] for row in paid), sum(row[3] for row in paid)
    if not trips:
        return {}
    return {
        "trips": number(trips),
        "revenue": money(revenue),
        "revenue a trip": f"${revenue / trips:,.2f}",
        "events produced": number(report.accounting.produced),
    }


def period(report: Report) -> str:
    """Return the days that the marts span; empty without trips."""
    days = report.plot("revenue").rows
    if not days:
        return ""
    first, last = days[0][0], days[-1][0]
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"


def cell(value: object, column: Column) -> str:
    """Return a value of a plot's table as text, with its unit."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, int | float):
        return str(value)
    match column.unit:
        case "$":
            return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"
        case "%":
            return f"{value:.2f} %"
        case "average":
            return f"{value:,.2f}"
        case _:
            return number(value)


def number(value: float | None) -> str:
    """Return a count with thousands separators; an en dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def size(value: int | None) -> str:
    """Return bytes in the largest unit that leaves a number above 1; an en dash for None."""
    if value is None:
        return "–"
    amount, unit = float(value), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:,.0f} {_UNITS[unit]}" if unit == 0 or amount >= 100 else f"{amount:,.1f} {_UNITS[unit]}"


def when(value: datetime | None) -> str:
    """Return a time in UTC, to the second; `never` for None."""
    return "never" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(value: float | None) -> str:
    """Return seconds as people say them; an en dash for None."""
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 60 else f"{int(value) // 60} min {int(value) % 60:02d} s"
