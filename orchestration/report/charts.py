"""Three kinds of chart as Vega-Lite specifications (https://vega.github.io/vega-lite/docs/). Pure functions.

Colours come from a palette, so that a page can hand in CSS variables and follow its reader's light or dark scheme.
`tip` of a value is what the mark says when somebody points at it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

Spec = dict[str, Any]
Value = Mapping[str, Any]

NARROW = 480
"""Width in pixels up to which a chart is drawn for a phone."""

_FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"
"""Faces of one width: Vega places labels by the measures of Liberation Sans, which it brings along."""


@dataclass(frozen=True)
class Palette:
    """Colours as CSS writes them: of text, of what is less important, of lines, and of three series."""

    ink: str
    muted: str
    grid: str
    first: str
    second: str
    third: str


IN_PAGE = Palette(*(f"var(--{name})" for name in ("ink", "muted", "grid", "first", "second", "third")))
"""The variables of page.css."""
ON_WHITE = Palette("#17212b", "#566573", "#e3e8ed", "#2a6fbb", "#d97a1f", "#7a4fb5")


def bars_by_day(values: Sequence[Value], kinds: Sequence[str], width: int, palette: Palette) -> Spec:
    """Return dollars as a bar a day. Days without a value are gaps.

    Args:
        values: `day` (ISO 8601, in order), `kind`, `dollars`, `tip`.
        kinds: of days, in the order of the palette's colours.
    """
    days = _calendar(values)
    encoding = {
        "x": {
            "field": "day",
            "type": "ordinal",
            "axis": {
                "title": None,
                "values": [day for day in days if _has_label(day, len(days), width)],
                "labelExpr": "utcFormat(utcParse(datum.value, '%Y-%m-%d'), '%-d %b')",
                "labelAngle": 0,
            },
            "scale": {"domain": days, "paddingInner": 0.18, "paddingOuter": 0.1},
        },
        "y": {
            "field": "dollars",
            "type": "quantitative",
            "axis": {
                "title": None,
                # Of itself Vega writes $0k.
                "labelExpr": "datum.value === 0 ? '$0' : format(datum.value, '$~s')",
                "tickCount": 5,
            },
        },
        "color": _color(kinds, palette),
        "description": {"field": "tip"},
    }
    return _frame(width, 240, palette) | {"data": {"values": list(values)}, "mark": "bar", "encoding": encoding}


def lines_by_hour(values: Sequence[Value], kinds: Sequence[str], width: int, palette: Palette) -> Spec:
    """Return a line a kind over the hours of the day.

    Args:
        values: `hour` (0 to 23), `kind`, `trips`, `tip`.
        kinds: in the order of the palette's colours.
    """
    encoding = {
        "x": {
            "field": "hour",
            "type": "quantitative",
            "scale": {"domain": [0, 23], "nice": False},
            "axis": {
                "title": None,
                "values": list(range(0, 24, 3 if width > NARROW else 6)),
                "labelExpr": "datum.value + ':00'",
                "grid": False,
            },
        },
        "y": {"field": "trips", "type": "quantitative", "axis": {"title": None, "format": "~s", "tickCount": 5}},
        "color": _color(kinds, palette),
        "description": {"field": "tip"},
    }
    mark = {"type": "line", "strokeWidth": 2.5, "interpolate": "monotone", "point": {"size": 45, "filled": True}}
    return _frame(width, 240, palette) | {"data": {"values": list(values)}, "mark": mark, "encoding": encoding}


def ranking(values: Sequence[Value], width: int, palette: Palette, color: str) -> Spec:
    """Return a horizontal bar a value, in the order given, with its number at the end.

    Args:
        values: `place` (0, 1, …), `name`, `count`, `label`, `tip`. Names need not be unique.
        color: of the bars.
    """
    longest = max((len(str(value["name"])) for value in values), default=0)
    room = min(8 * longest + 14, 140 if width <= NARROW else 250)
    y = {
        "field": "place",
        "type": "ordinal",
        "axis": {
            "title": None,
            "labelExpr": "data('bars')[datum.value].name",
            # A browser without our faces takes one that may be a fifth wider.
            "labelLimit": round(0.82 * (room - 10)),
            "minExtent": room,
            "maxExtent": room,
            "labelColor": palette.ink,
            "labelPadding": 8,
        },
        "scale": {"paddingInner": 0.3},
    }
    x = {"field": "count", "type": "quantitative", "axis": None, "scale": {"nice": False}}
    bar = {
        "mark": {"type": "bar", "color": color, "cornerRadiusEnd": 2},
        "encoding": {"y": y, "x": x, "description": {"field": "tip"}},
    }
    text = {
        "mark": {"type": "text", "align": "left", "dx": 6, "color": palette.ink, "fontSize": 12, "aria": False},
        "encoding": {"y": y, "x": x, "text": {"field": "label"}},
    }
    frame = _frame(width, {"step": 26}, palette, right=56)
    return frame | {"data": {"name": "bars", "values": list(values)}, "layer": [bar, text]}


def _frame(width: int, height: int | Mapping[str, int], palette: Palette, right: int = 12) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        # The width is that of the whole picture, labels included.
        "autosize": {"type": "fit" if isinstance(height, int) else "fit-x", "contains": "padding"},
        "padding": {"left": 2, "top": 6, "right": right, "bottom": 4},
        "background": None,
        "config": {
            "font": _FONT,
            "view": {"stroke": None},
            "axis": {
                "labelColor": palette.muted,
                "labelFontSize": 12,
                "labelPadding": 6,
                "gridColor": palette.grid,
                "domainColor": palette.grid,
                "tickColor": palette.grid,
            },
            "axisY": {"domain": False, "ticks": False},
            "legend": {
                "orient": "top",
                "title": None,
                "labelColor": palette.ink,
                "labelFontSize": 12,
                "symbolType": "circle",
                "symbolSize": 90,
                "offset": 8,
            },
        },
    }


def _color(kinds: Sequence[str], palette: Palette) -> Spec:
    colors = (palette.first, palette.second, palette.third)
    return {"field": "kind", "type": "nominal", "scale": {"domain": list(kinds), "range": colors[: len(kinds)]}}


def _calendar(values: Sequence[Value]) -> list[str]:
    if not values:
        return []
    first, last = (date.fromisoformat(values[place]["day"]) for place in (0, -1))
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


def _has_label(day: str, days: int, width: int) -> bool:
    """Whether a day has a label: all of few days, of a month those a week apart, of more the first and the 15th."""
    is_narrow = width <= NARROW
    if days <= (5 if is_narrow else 16):
        return True
    return int(day[-2:]) in ((1, 8, 15, 22, 29) if days <= (31 if is_narrow else 62) else (1, 15))
