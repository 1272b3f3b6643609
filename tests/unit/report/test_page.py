"""The page: complete, escaped, self-contained, and honest about what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestration.errors import InputError
from orchestration.lakehouse.counts import Counts
from orchestration.report.accounting import balance
from orchestration.report.content import Report
from orchestration.report.page import duration, render_page, size, write_page
from tests.unit.report.conftest import COUNTS, HOSTILE


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def test_the_page_says_everything(report: Report) -> None:
    words = Page(render_page(report)).words
    for part in (
        "Every row is accounted for",
        "1 January 2024 to 7 January 2024",
        "1,000 produced",
        "dead-lettered 10 1.00 %",
        "in silver 940 94.95 %",
        "fare_negative 30 A fare is <not> negative",
        "silver.cleaned_trips 940 123 MB 31 2 2024-02-01 08:30:00 7781204431926514123",
        "lakehouse_batch success 2024-02-01 08:30:00 1 min 12 s 0b2e5f0e",
        "bronze 2024-02-01 08:30:00 ✓ up to date",
        "silver never cannot be told",
    ):
        assert part in words, part


def test_the_table_behind_a_plot_has_its_rows(report: Report) -> None:
    words = Page(render_page(report)).words
    assert "Day Kind of day Trips Revenue 2024-01-01 Holiday 100 $1,001.00 2024-01-02 Weekday 100 $1,002.00" in words
    assert "Credit card 600 85.71 % $6,000.00 Cash 100 14.29 % $1,028.00" in words


def test_no_value_becomes_markup(report: Report) -> None:
    hostile = replace(report, instance=HOSTILE, runs=(replace(report.runs[0], job=HOSTILE),))
    page = Page(render_page(hostile))
    assert page.words.count(HOSTILE) >= 4
    assert {tag for tag, _ in page.tags} & {"img", "script", "iframe", "object", "embed"} == set()
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []


def test_the_page_names_no_address_and_forbids_itself_to_fetch(report: Report) -> None:
    html = render_page(report)
    page = Page(html)
    links = [value for _, attributes in page.tags for name in ("src", "href") if (value := attributes.get(name))]
    assert [link for link in links if not link.startswith("data:")] == []
    assert re.findall(r"@import|url\((?!#)", html) == []
    policy = next(attributes for tag, attributes in page.tags if attributes.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_picture_has_words_for_those_who_do_not_see_it(report: Report) -> None:
    pictures = [attributes for _, attributes in Page(render_page(report)).tags if attributes.get("role") == "img"]
    assert len(pictures) == 5
    for picture in pictures:
        assert re.search(r"\d", picture["aria-label"] or "")


def test_an_empty_lakehouse_gives_a_page_that_says_so(empty_report: Report) -> None:
    page = Page(render_page(empty_report))
    for model in empty_report.mart_names.values():
        assert f"{model} holds no rows." in page.words
    assert "There are no tables yet." in page.words
    assert "No quality rule refused a row." in page.words
    assert "svg" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize(
    ("counts", "waiting", "state", "words"),
    [
        pytest.param(COUNTS, 0, "holds", "✓ Every row is accounted for", id="holds"),
        pytest.param(replace(COUNTS, produced=1007), 7, "late", "7 wait for the next run", id="late"),
        pytest.param(replace(COUNTS, produced=1007), 6, "broken", "✗ 7 rows unaccounted for", id="lost"),
        pytest.param(replace(COUNTS, silver=941), 9, "broken", "✗ -1 rows unaccounted for", id="from nowhere"),
    ],
)
def test_the_verdict_is_that_of_the_worst_equation(
    report: Report, counts: Counts, waiting: int, state: str, words: str
) -> None:
    accounting = balance(counts, [], waiting_for_bronze=waiting, waiting_for_silver=waiting)
    page = Page(render_page(replace(report, accounting=accounting)))
    assert [attributes["data-verdict"] for _, attributes in page.tags if "data-verdict" in attributes] == [state]
    assert words in page.words


def test_writing_again_replaces_the_page_and_leaves_nothing_beside_it(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "new" / "january.html"
    write_page(report, path)
    write_page(replace(report, instance="other"), path)
    assert "<code>other</code>" in path.read_text(encoding="utf-8")
    assert [one.name for one in path.parent.iterdir()] == ["january.html"]


def test_a_place_that_cannot_be_written_is_named(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"report\.html cannot be written") as caught:
        write_page(report, tmp_path / "file" / "report.html")
    assert "--output" in (caught.value.hint or "")


def test_a_folder_in_the_place_of_the_page_is_refused_and_nothing_is_left(report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError):
        write_page(report, tmp_path / "report.html")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (25_400, "25.4 KB"),
        (3_200_000_000_000_000, "3,200 TB"),
    ],
)
def test_sizes_are_readable(value: int | None, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (3.14, "3.1 s"), (59.99, "60.0 s"), (61.2, "1 min 01 s")])
def test_durations_are_readable(value: float | None, text: str) -> None:
    assert duration(value) == text
