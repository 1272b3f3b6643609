"""Plots as SVG, by vl-convert: Vega in a JavaScript engine of its own, no browser, no network."""

from __future__ import annotations

from base64 import b64encode
from xml.etree import ElementTree

from orchestration.report.charts import ON_WHITE, Palette
from orchestration.report.plots import Plot

WIDE, PHONE = 860, 340
"""Widths in pixels of the two drawings of a plot; a page shows the one that fits."""
PREVIEW = 640

_SVG = "http://www.w3.org/2000/svg"
_FOR_READERS = ("aria-label", "aria-roledescription", "aria-hidden", "role")


def draw_svg(plot: Plot, width: int, palette: Palette) -> str:
    """Return an `<svg>` element as high as it needs to be; each mark has a `<title>`, which browsers show on hover.

    It is hidden from screen readers: whoever shows it says the plot's summary and gives its table.
    """
    import vl_convert

    drawn = vl_convert.vegalite_to_svg(plot.draw(width, palette), allowed_base_urls=[])
    root = ElementTree.fromstring(drawn)
    _drop_invisible(root)
    for element in list(root.iter()):
        label = element.get("aria-label")
        for name in _FOR_READERS:
            element.attrib.pop(name, None)
        if label and element.tag == f"{{{_SVG}}}path":
            ElementTree.SubElement(element, f"{{{_SVG}}}title").text = label
    root.set("aria-hidden", "true")
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def draw_data_uri(plot: Plot) -> str:
    """Return a drawing on white as a `data:` address, for places that show pictures only."""
    svg = draw_svg(plot, PREVIEW, ON_WHITE).replace("<svg ", '<svg style="background:#fff" ', 1)
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode('ascii')}"


def _drop_invisible(parent: ElementTree.Element) -> None:
    """Remove what Vega draws for events only: half of the text."""
    for child in list(parent):
        is_backdrop = child.get("class") in ("background", "foreground") and not (
            child.get("fill") or child.get("stroke")
        )
        if is_backdrop or child.get("display") == "none":
            parent.remove(child)
        else:
            _drop_invisible(child)
