"""One drawing, rendered: files for print, and an element of a page that follows its theme."""

import hashlib
import html
import io
import re
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from madlib.book.figures.style import DPI, MM, STYLE, WIDTHS, recolor
from madlib.errors import require

INK_IMAGE = "ink-image"  # gid of an image whose grays are ink.
_CANVASES = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
_INK_FILTER = (
    '<filter id="ink" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1">'
    '<feColorMatrix type="matrix" values="0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 -1 0 0 1 0" result="a"/>'
    '<feFlood flood-color="currentColor"/><feComposite operator="in" in2="a"/></filter>'
)


def lay_out(fig: Figure, times: int = 2) -> None:
    """Place everything; axes of equal aspect have their shape after the first time."""
    for _ in range(times):
        if engine := fig.get_layout_engine():
            engine.execute(fig)


def render(fig: Figure, kind: str, **metadata: Any) -> bytes:
    """One format; `fig.savefig` would draw everything twice, to see how large it is."""
    stream = io.BytesIO()
    fig.dpi = DPI
    getattr(_CANVASES[kind](fig), f"print_{kind}")(stream, metadata=metadata)
    return stream.getvalue()


def render_transparent(fig: Figure, **metadata: Any) -> str:
    """The drawing without its ground, as SVG."""
    for patch in (fig.patch, *(ax.patch for ax in fig.axes)):
        patch.set_facecolor("none")
    return render(fig, "svg", **metadata).decode()


def on_white(svg: str) -> str:
    """The drawing with white behind it."""
    at = svg.index('<g id="figure_1">')
    return svg[:at] + '<rect width="100%" height="100%" fill="#ffffff"/>\n' + svg[at:]


def show(fig: Figure) -> str:
    """A figure that is not saved, as an element of a page."""
    with style.context([*STYLE, {"svg.hashsalt": "shown"}]):
        lay_out(fig)
        svg = render_transparent(fig, Date=None)
    return to_page(svg, f"figure-{hashlib.sha256(svg.encode()).hexdigest()[:8]}", "", fig)


def to_page(svg: str, label: str, caption: str, fig: Figure) -> str:
    """Turn an SVG file into an inline element: inked by the page, its ids the figure's own."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = recolor(svg)
    if INK_IMAGE in svg:
        # Grays of an image become ink of that density, in whatever color the page writes.
        svg = re.sub(rf'(<image[^>]*?) id="{INK_IMAGE}"', r'\1 filter="url(#ink)"', svg)
        svg = svg.replace("<defs>", f"<defs>{_INK_FILTER}", 1)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{label}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{label}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{label}-\1"', svg)
    # All figures of a page are shown at one scale, and so is their type; on a phone a wide one
    # scrolls inside its own box.
    (viewbox,) = re.findall(r'viewBox="[^"]+"', svg)[:1]
    share = fig.get_figwidth() / WIDTHS["page"]
    shape = f"width:{share:.2%};min-width:{34 * share:.4g}rem;max-width:{60 * share:.4g}rem"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{viewbox} role="img" aria-label="{html.escape(caption)}" '
        f'fill="currentColor" style="{shape};height:auto;display:block;margin:0 auto">'
    )
    body = svg[svg.index(">") + 1 :]
    return f'<div class="madlib-figure" style="overflow-x:auto">{head}{body}</div>'


class BookFigure(Figure):
    """A matplotlib figure that shows itself on a page, in the ink of the page."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": show(self)}


def subplots(
    n_columns: int = 1,
    n_rows: int = 1,
    width: str = "column",
    height: float | None = None,
    **kw: Any,
) -> tuple[BookFigure, Any]:
    """Set the style of the book and open a figure in it, which shows itself as a cell's last line.

    Args:
        n_columns: panels side by side.
        n_rows: panels one above the other.
        width: `"column"` (88 mm) or `"page"` (180 mm).
        height: in mm; by default panels are about three wide and two high.
        **kw: passed to `Figure.subplots`, for instance `sharey=True`.

    Returns:
        `(figure, axes)`; axes is one Axes, or an array of them [n_rows, n_columns], squeezed.

    Example:
        >>> from madlib.book import figures
        >>> fig, ax = figures.subplots()
        >>> line = ax.plot([1, 2, 3], [1, 4, 9])
    """
    allowed = "width must be 'column' (88 mm) or 'page' (180 mm)"
    require(width in WIDTHS, allowed, repr(width), "Choose one of the two.")
    style.use(STYLE)
    wide = WIDTHS[width]
    tall = height * MM if height else n_rows * min(0.7 * wide / n_columns, 66 * MM)
    figure = BookFigure(figsize=(wide, tall))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, **kw)
