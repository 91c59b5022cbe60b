"""House style for plots: an inline SVG that follows the page's colours.

Text and axes take the page's text colour, series take `--pn-1` to `--pn-4`
(defined in docs/assets/guide.css); outside the site, in a notebook, the values
after the comma stand in. The drawing has no background.
"""

import functools
import gzip
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lab import GuideError
from lab.record import evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's set: told apart with any colour vision.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_INK, _GRID = "#123456", "#123457"  # stand-ins, swapped for CSS variables below
_CSS = {
    _INK: "var(--pn-ink, var(--jp-content-font-color1, #222))",
    _GRID: "var(--pn-grid, #8886)",
    **{color: f"var(--pn-{i}, {color})" for i, color in enumerate(SERIES, 1)},
}
_STYLE = {
    "figure.figsize": (7, 3.4),
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "legend.frameon": False,
    "savefig.transparent": True,
    **{
        key: _INK
        for key in (
            "text.color", "axes.labelcolor", "axes.edgecolor",
            "xtick.color", "ytick.color", "axes.titlecolor",
        )
    },
}  # fmt: skip
LIMIT = 30_000  # bytes of gzipped SVG, since it comes with the page


class FigureError(GuideError):
    """A figure without what it owes its reader."""


@functools.cache
def _pyplot():
    """`matplotlib.pyplot` in house style; its import takes a second, which not every
    test run needs."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(_STYLE | {"axes.prop_cycle": matplotlib.cycler(color=SERIES)})
    return plt


class Svg(str):
    """SVG text that a notebook shows inline, so that it follows the page's colours
    (as an image, which `_repr_svg_` would give, it could not)."""

    def __repr__(self) -> str:
        return f"<figure, {len(self)} bytes of SVG>"

    def _repr_html_(self) -> str:
        # as on a page (lab.markdown): it scrolls, so it takes the keyboard
        box = '<div class="pn-scroll" tabindex="0" role="group" aria-label="a figure">'
        return f"{box}{self!s}</div>"


def plot(width: float = 7, height: float = 3.4, **options):
    """`plt.subplots` in house style: returns (figure, axes). Inches."""
    return _pyplot().subplots(figsize=(width, height), **options)


def publish(
    key: str,
    drawing: "Figure",
    alt: str,
    data: Mapping[str, Sequence],
    *,
    source: str,
) -> Svg:
    """Close the drawing, return it as SVG and record it with its data.

    `key` is `topic/name`; `alt` says what the figure shows to one who cannot see
    it (a sentence with the finding, 40 to 400 characters). `data` is the figure's table,
    its columns by name, each a list:
    `{"version": ["naive", "hardened"], "requests answered": [20, 200]}`. Raises
    FigureError for another text or table.
    """
    if not 40 <= len(alt) <= 400:
        raise FigureError(
            f"{key}: the text alternative has {len(alt)} characters — say in 40 to "
            "400 what the figure shows, with its finding"
        )
    for column, values in data.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise FigureError(
                f"{key}: the data of '{column}' is {values!r} — give each column a "
                "list, e.g. {'version': ['naive', 'hardened'], 'answered': [20, 200]}"
            )
    svg = render(key, drawing, alt)
    evidence.figure(key, svg, alt, data, source=source)
    return svg


def render(key: str, drawing: "Figure", alt: str) -> Svg:
    """The drawing as SVG text: coloured by CSS, with ids of its own."""
    name = key.replace("/", "-")
    plt = _pyplot()
    with plt.rc_context({"svg.hashsalt": name}):
        out = io.StringIO()
        drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(drawing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # a <style> element would reach the whole page; guide.css has its one rule
    svg = re.sub(r"<style.*?</style>\s*", "", svg, flags=re.DOTALL)
    # several figures stand on one page: their ids must not meet
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for color, css in _CSS.items():
        svg = svg.replace(color, css)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    box = re.search(r'<svg [^>]*?viewBox="([^"]+)"', svg)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" '
        f'class="pn-figure" role="img" aria-label="{_attribute(alt)}">'
    )
    svg = slim(head + svg[svg.index(">") + 1 :])
    if (size := len(gzip.compress(svg.encode()))) > LIMIT:
        raise FigureError(
            f"{key}: {size} bytes of gzipped SVG, at most {LIMIT} — plot fewer points: "
            "bin or thin them"
        )
    return Svg(svg)


def slim(svg: str) -> str:
    """The same drawing in fewer bytes, and without style attributes, which a strict
    content security policy forbids. Coordinates keep a hundredth of a point."""
    svg = re.sub(r' style="([^"]*)"', _presentation, svg)
    svg = re.sub(
        r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), svg
    )
    svg = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = re.sub(r"\s*\n\s*(?=[^<\s])", " ", svg)  # within a path
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = re.sub(r"<!--.*?-->\n?|<defs>\s*</defs>\n?", "", svg, flags=re.DOTALL)
    kept: list[bool] = []  # of the groups around a place, which have a tag

    def group(tag: re.Match) -> str:
        if tag[0].startswith("<g"):
            kept.append(tag[0].strip() != "<g>")
            return tag[0] if kept[-1] else ""
        return tag[0] if kept.pop() else ""

    # a group without attributes says nothing
    return re.sub(r"<g\b[^>]*(?<!/)>\n?|</g>\n?", group, svg).strip()


def _presentation(style: re.Match) -> str:
    """`style="fill: red"` as `fill="red"`, which SVG has for all that plots use."""
    pairs = (pair.partition(":") for pair in style[1].split(";") if pair.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
