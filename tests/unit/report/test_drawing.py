"""Drawings: marks that carry their numbers, no value that becomes markup, nothing that is fetched."""

from __future__ import annotations

from base64 import b64decode
from xml.etree import ElementTree

from orchestration.report.charts import IN_PAGE
from orchestration.report.content import Report
from orchestration.report.drawing import PHONE, WIDE, draw_data_uri, draw_svg
from tests.unit.report.conftest import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def tips(svg: str) -> list[str]:
    """Return what the marks say."""
    return [title.text or "" for title in ElementTree.fromstring(svg).iter(f"{SVG}title")]


def test_each_mark_says_its_number(report: Report) -> None:
    found = tips(draw_svg(report.plot("revenue"), WIDE, IN_PAGE))
    assert found[0] == "1 Jan 2024, Holiday: $1,001"
    assert len(found) == 7
    assert len(tips(draw_svg(report.plot("demand"), PHONE, IN_PAGE))) >= 48


def test_a_name_with_markup_stays_text(report: Report) -> None:
    svg = draw_svg(report.plot("zones"), WIDE, IN_PAGE)
    assert "<img" not in svg
    assert tips(svg)[0].startswith(HOSTILE)
    assert {element.tag for element in ElementTree.fromstring(svg).iter()} <= {
        f"{SVG}{name}" for name in ("svg", "g", "path", "line", "text", "title", "rect", "defs", "clipPath")
    }


def test_colours_in_a_page_are_its_variables_so_that_it_can_be_dark(report: Report) -> None:
    svg = draw_svg(report.plot("payments"), WIDE, IN_PAGE)
    assert "var(--first)" in svg
    assert "#" not in svg.replace("url(#", "")


def test_it_is_as_wide_as_asked_for(report: Report) -> None:
    for width in (WIDE, PHONE):
        for plot in report.plots:
            drawn = ElementTree.fromstring(draw_svg(plot, width, IN_PAGE))
            assert abs(float(drawn.attrib["viewBox"].split()[2]) - width) <= 8, plot.name


def test_a_data_uri_stands_alone(report: Report) -> None:
    kind, _, content = draw_data_uri(report.plot("payments")).partition(",")
    svg = b64decode(content).decode()
    assert kind == "data:image/svg+xml;base64"
    assert "var(--" not in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")
    assert tips(svg)[0].startswith("Credit card: 600 trips")
