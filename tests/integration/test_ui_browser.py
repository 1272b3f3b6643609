"""Dagster's interface in a real browser: the graph is there, and an asset can be materialized by a click.

MILLRACE_KEEP_SCREENSHOT=1 fills the graph with a sample first and writes the picture of the README.
MILLRACE_NO_BROWSER=1 does without; for people who know that there is no browser to be had.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect, sync_playwright

from tests.integration.browser import FLAGS, WITHOUT_BROWSER, require_browser

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "asset-graph.png"
GROUPS = ("landing", "bronze", "silver", "gold")
ASSETS = ("taxi", "raw_trips", "cleaned_trips", "rejected_trips", "stg_yellow_trips", "fct_trips", "mart_daily_revenue")
# A seed: it does not depend on what other tests left in the tables.
SMALL_ASSET = "raw/vendor_lookup"
LOOK_TIMEOUT_MS, RUN_TIMEOUT_MS = 60_000, 300_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.stack,
    WITHOUT_BROWSER,
]


def millrace(environ: dict[str, str], *arguments: str) -> None:
    """Run a command of ours to its end."""
    subprocess.run([sys.executable, "-m", "orchestration.cli.main", *arguments], cwd=ROOT, env=environ, check=True)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def is_kept() -> bool:
    """Whether the picture of the README shall be made."""
    return os.environ.get("MILLRACE_KEEP_SCREENSHOT") == "1"


@pytest.fixture(scope="module")
def ui(environ: dict[str, str], is_kept: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `millrace ui` on the test stack."""
    if is_kept:
        sample = tmp_path_factory.mktemp("sample") / "yellow_tripdata_2024-01.parquet"
        millrace(environ, "sample", "--rows", "100000", str(sample))
        millrace(environ, "run", "--data", str(sample))
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.cli.main", "ui", "--port", str(free_port())],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        # One line when it answers, none if it ends before; it waits no longer than two minutes by itself.
        address = process.stdout.readline().strip()
        if not address.startswith("http://127.0.0.1:"):
            _, words = process.communicate(timeout=60)
            pytest.fail(f"millrace ui did not start: {words}")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture
def page(ui: str) -> Iterator[Page]:
    """A page of the interface; whatever asks for attention on a first visit is put aside."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_browser(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 4800, "height": 3600}, base_url=ui)
        page.set_default_timeout(LOOK_TIMEOUT_MS)
        expect.set_options(timeout=LOOK_TIMEOUT_MS)
        skip = page.get_by_role("button", name="Skip", exact=True)
        page.add_locator_handler(skip, lambda: skip.click())
        try:
            yield page
        finally:
            browser.close()


def around(graph: Locator) -> FloatRect:
    """Return the rectangle of the page that holds all nodes, with a margin."""
    boxes = [box for node in graph.all() if (box := node.bounding_box())]
    left, top = (min(box[side] for box in boxes) - 20 for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + 20
    bottom = max(box["y"] + box["height"] for box in boxes) + 20
    return {"x": left, "y": max(top, 0), "width": right - left, "height": bottom - max(top, 0)}


def open_graph(page: Page) -> None:
    """Open the lineage of all assets with every group unfolded."""
    page.goto("/asset-groups?expanded=" + quote(",".join(f"global@global:{group}" for group in GROUPS), safe=""))
    expect(page.get_by_text("Global asset lineage").first).to_be_visible()


def test_the_graph_shows_every_layer_and_an_asset_materializes_by_a_click(
    page: Page, is_kept: bool, tmp_path: Path
) -> None:
    open_graph(page)
    graph = page.locator("svg foreignObject")
    for asset in ASSETS:
        expect(graph.get_by_text(asset, exact=True).first).to_be_visible()

    page.goto(f"/assets/{SMALL_ASSET}")
    page.get_by_role("button", name="Materialize").first.click()
    run = page.get_by_role("link", name="View", exact=True)
    path = run.get_attribute("href")
    assert path is not None
    assert path.startswith("/runs/")
    page.goto(path)
    state = page.get_by_text("Success", exact=True).or_(page.get_by_text("Failure", exact=True)).first
    expect(state).to_be_visible(timeout=RUN_TIMEOUT_MS)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()

    open_graph(page)
    expect(graph.get_by_text("Materialized").first).to_be_visible()
    page.get_by_text("Hide navigation").click()
    target = PICTURE if is_kept else tmp_path / "asset-graph.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    expect(graph.get_by_text("Loading")).to_have_count(0)
    page.screenshot(path=target, clip=around(graph))
    assert target.stat().st_size > 10_000
