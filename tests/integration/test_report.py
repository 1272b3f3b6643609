"""The report on a real lakehouse, in a real browser: its plots say what the marts hold, and nothing leaves the page.

MILLRACE_KEEP_SCREENSHOT=1 takes 10,000 rows and writes the pictures of docs/report.md.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from orchestration.catalog import find_table, open_catalog
from orchestration.catalog.snapshots import current_id
from orchestration.dbt_plugin.gold import connect_gold, mart_relation
from orchestration.settings import Settings
from tests.integration.browser import FLAGS, WITHOUT_BROWSER, require_browser
from tests.integration.home import Ended, Home, open_home
from tests.integration.lake import closed_port
from tests.integration.lake import expect as expect_counts

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
IS_KEPT = os.environ.get("MILLRACE_KEEP_SCREENSHOT") == "1"
ROWS, DIRTY = (10_000 if IS_KEPT else 2_000), 0.05
LOOK_TIMEOUT_MS = 90_000
LINEAGE = """{ assetNodes(assetKeys: [{path: ["marts", "mart_daily_revenue"]}]) { assetMaterializations(limit: 1) {
  metadataEntries { ... on TableColumnLineageMetadataEntry {
    lineage { columnName columnDeps { assetKey { path } columnName } } } } } } }"""

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def home(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home after one run on a dirty month."""
    with open_home(settings, tmp_path_factory.mktemp("report"), DLQ_MAX=str(ROWS)) as opened:
        ended = opened.millrace("run", "--data", str(opened.lake.sample("2024-01", ROWS, DIRTY)), "--json")
        assert ended.code == 0, ended.err
        yield opened


@pytest.fixture(scope="module")
def written(home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The page that the command wrote, and what it printed."""
    path = tmp_path_factory.mktemp("page") / "january.html"
    ended: Ended = home.millrace("report", "--json", "--output", str(path))
    assert ended.code == 0, ended.err
    return path, json.loads(ended.out)


@pytest.fixture(scope="module")
def marts(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with each mart under its bare name."""
    with connect_gold(home.settings) as connection:
        for model in ("fct_trips", "mart_daily_revenue", "mart_hourly_demand", "mart_location_performance"):
            connection.execute(f"create temp view {model} as from {mart_relation(home.settings, model)}")
        yield connection


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=require_browser(), args=list(FLAGS))
        yield launched
        launched.close()


def tips(page: Page, plot: str) -> list[str]:
    """Return what the marks of the plot that is shown say, without those that only join others."""
    marks = page.locator(f"figure[data-plot={plot}] .wide svg title").all_text_contents()
    return list(dict.fromkeys(marks))


def number(text: str) -> float:
    """Return the number in a text such as `$1,234`."""
    return float(re.sub(r"[^\d.-]", "", text))


def behind(page: Page, plot: str) -> list[list[str]]:
    """Return the table behind a plot."""
    rows = page.locator(f"figure[data-plot={plot}] tbody tr").all()
    return [row.locator("td").all_text_contents() for row in rows]


def current_snapshot(home: Home, name: str) -> str:
    """Return the id of a table's current snapshot, as the catalog says it."""
    table = find_table(open_catalog(home.settings), name)
    assert table is not None
    return str(current_id(table))


def test_the_command_accounts_for_each_row_of_the_sample(home: Home, written: tuple[Path, dict[str, Any]]) -> None:
    _, said = written
    wanted = expect_counts(ROWS, DIRTY)
    produced, landed = said["accounting"]["equations"]
    assert said["accounting"]["state"] == "holds"
    assert [produced["total"]["rows"], *(part["rows"] for part in produced["parts"])] == [
        wanted["produced"],
        wanted["bronze"],
        wanted["dead_lettered"],
    ]
    assert [part["rows"] for part in landed["parts"]] == [wanted["silver"], wanted["duplicates"], wanted["rejected"]]
    assert sum(said["accounting"]["rejected_by"].values()) == wanted["rejected"]
    tables = {table["name"]: table for table in said["tables"]}
    assert tables["silver.cleaned_trips"]["rows"] == tables["gold.fct_trips"]["rows"] == wanted["silver"]
    assert tables["silver.cleaned_trips"]["snapshot_id"] == current_snapshot(home, "silver.cleaned_trips")
    assert [layer["waiting"] for layer in said["layers"]] == [0, 0, 0]
    assert [run["job"] for run in said["runs"]] == ["lakehouse_batch"]


@pytest.mark.browser
@WITHOUT_BROWSER
def test_the_plots_show_what_the_marts_hold_and_nothing_leaves_the_page(
    written: tuple[Path, dict[str, Any]], marts: duckdb.DuckDBPyConnection, browser: Browser
) -> None:
    path, _ = written
    page = browser.new_page(viewport={"width": 1060, "height": 1400})
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator("[data-verdict=holds]")).to_be_visible()

    days = marts.execute("select total_revenue from mart_daily_revenue order by date_key").fetchall()
    drawn = [number(tip.partition(": ")[2]) for tip in tips(page, "revenue")]
    assert drawn == [pytest.approx(float(revenue), abs=0.51) for (revenue,) in days]
    assert [number(row[3]) for row in behind(page, "revenue")] == [float(revenue) for (revenue,) in days]

    hours = marts.execute(
        "select pickup_hour, is_weekend, total_trips_all_days / days_observed from mart_hourly_demand"
    ).fetchall()
    demand = {(int(row[0]), row[1]): number(row[3]) for row in behind(page, "demand")}
    assert demand == {
        (hour, "Weekend" if is_weekend else "Weekday"): pytest.approx(trips, abs=0.006)
        for hour, is_weekend, trips in hours
    }
    assert {tip.partition(": ")[0] for tip in tips(page, "demand")} >= {f"{kind}, {hour}:00" for hour, kind in demand}

    zones = marts.execute(
        "select pickup_zone, total_pickups from mart_location_performance"
        " order by total_pickups desc, pickup_location_id limit 15"
    ).fetchall()
    assert [(row[0], int(number(row[2]))) for row in behind(page, "zones")] == zones
    assert [tip.split(", ")[0] for tip in tips(page, "zones")] == [zone for zone, _ in zones]

    paid = marts.execute("select count(*) n from fct_trips group by payment_type_id order by n desc").fetchall()
    assert [int(number(row[1])) for row in behind(page, "payments")] == [trips for (trips,) in paid]
    assert len(tips(page, "payments")) == len(paid)

    assert asked == [path.as_uri()]
    assert said == []


@pytest.mark.browser
@WITHOUT_BROWSER
def test_the_page_fits_a_phone_and_follows_the_reader_into_the_dark_and_onto_paper(
    written: tuple[Path, dict[str, Any]], browser: Browser, tmp_path: Path
) -> None:
    path, _ = written
    pictures = IMAGES if IS_KEPT else tmp_path
    page = browser.new_page(viewport={"width": 1060, "height": 1400})
    page.goto(path.as_uri())
    accounting = page.locator("#accounting").bounding_box()
    assert accounting is not None
    plots = {"x": 0, "y": 0, "width": 1060, "height": accounting["y"] - 4}
    page.screenshot(path=pictures / "report.png", full_page=True, clip=plots)
    page.locator("#accounting").screenshot(path=pictures / "report-accounting.png")
    page.evaluate("scrollTo(0, 0)")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    bar = page.locator("figure[data-plot=zones] .wide svg path title").first.locator("..")
    assert bar.evaluate("element => getComputedStyle(element).fill") == "rgb(111, 176, 242)"
    page.screenshot(path=pictures / "report-dark.png", clip={"x": 0, "y": 0, "width": 1060, "height": 1075})
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

    phone = browser.new_context(viewport={"width": 360, "height": 740}, device_scale_factor=2).new_page()
    phone.goto(path.as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    expect(phone.locator("figure[data-plot=revenue] .phone svg")).to_be_visible()
    expect(phone.locator("figure[data-plot=revenue] .wide svg")).to_be_hidden()
    phone.screenshot(path=pictures / "report-phone.png")


@pytest.fixture
def ui(home: Home) -> Iterator[str]:
    """The address of Dagster's interface on the home."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli.main", "ui", "--no-daemon", "--port", str(closed_port())],
        cwd=ROOT,
        env=dict(home.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address.startswith("http://127.0.0.1:"):
            _, words = process.communicate(timeout=60)
            pytest.fail(f"millrace ui did not start: {words}")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.browser
@WITHOUT_BROWSER
def test_dagster_shows_the_plot_and_the_first_rows_of_a_mart_and_knows_where_its_columns_come_from(
    ui: str, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, base_url=ui)
    page.set_default_timeout(LOOK_TIMEOUT_MS)
    expect.set_options(timeout=LOOK_TIMEOUT_MS)
    skip = page.get_by_role("button", name="Skip", exact=True)
    page.add_locator_handler(skip, lambda: skip.click())
    page.goto("/assets/marts/mart_daily_revenue?view=overview")
    plot = page.locator("tr", has=page.get_by_text("plot", exact=True))
    expect(plot.first).to_be_visible()
    plot.get_by_text("Show Markdown").click()
    picture = page.get_by_alt_text("Revenue by day")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    page.screenshot(path=(IMAGES if IS_KEPT else tmp_path) / "mart-preview.png", animations="disabled")
    page.keyboard.press("Escape")
    expect(page.locator("tr", has=page.get_by_text("first_rows", exact=True)).get_by_text("2024-01-01")).to_be_visible()

    # The interface of the open edition has no page for it; its API has.
    answer = page.request.post("/graphql", data={"query": LINEAGE}).json()
    [mart] = answer["data"]["assetNodes"]
    [entry] = [one for one in mart["assetMaterializations"][0]["metadataEntries"] if "lineage" in one]
    parents = {one["columnName"]: one["columnDeps"] for one in entry["lineage"]}
    assert {"assetKey": {"path": ["intermediate", "int_daily_summary"]}, "columnName": "total_revenue"} in parents[
        "cumulative_revenue"
    ]
