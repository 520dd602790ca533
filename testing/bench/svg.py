"""Horizontal bar charts as SVG, one panel under the other: no library, readable in any browser.

    svg.write(path, [Panel("CPU µs per request", {"raw": 3.9, "uwsgi": 14.2})])
"""

import dataclasses
from xml.sax import saxutils

import servers

WIDTH = 760
LABEL_WIDTH = 190
VALUE_WIDTH = 90
BAR_HEIGHT = 18
ROW_HEIGHT = 24
TITLE_HEIGHT = 40

_OURS, _LIMIT, _PEER = "#1a7f5a", "#8a8f98", "#5b84b1"


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    bars: dict  # label -> value
    form: str = "{:,.2f}"


def write(path, panels):
    height = sum(_height(panel) for panel in panels) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    top = 0
    for panel in panels:
        parts += _draw(panel, top)
        top += _height(panel)
    path.write_text("\n".join([*parts, "</svg>\n"]))


def _height(panel):
    return TITLE_HEIGHT + ROW_HEIGHT * len(panel.bars)


def _draw(panel, top):
    yield f'<text x="12" y="{top + 26}" font-weight="bold">{saxutils.escape(panel.title)}</text>'
    longest = max(panel.bars.values(), default=0) or 1
    for row, (label, value) in enumerate(panel.bars.items()):
        y = top + TITLE_HEIGHT + row * ROW_HEIGHT
        width = max(1, (WIDTH - LABEL_WIDTH - VALUE_WIDTH) * value / longest)
        text = y + BAR_HEIGHT - 5
        yield f'<text x="{LABEL_WIDTH - 8}" y="{text}" text-anchor="end">{saxutils.escape(label)}</text>'
        yield f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{_color(label)}"/>'
        yield f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{text}">{panel.form.format(value)}</text>'


def _color(label):
    if label.startswith("greenring"):
        return _OURS
    return _LIMIT if label.startswith(servers.LIMIT) else _PEER
