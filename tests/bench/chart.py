"""Draws the rates of a run as SVG: a bar is a median, its whisker goes from the least to the most."""

from xml.sax.saxutils import escape

from figures import CEILING, find_row

# Rows of a panel: heading, test, clients
GROUPS = (
    ("accept, 1 client", "accept", 1),
    ("accept, 10 clients", "accept", 10),
    ("accept, 100 clients", "accept", 100),
    ("accept and deliver, 10 clients", "relay", 10),
    ("accept and deliver, 100 clients", "relay", 100),
)
PANELS = ((1, "one message per connection"), (100, "100 messages per connection"))
ORDER = ("outboxd", "bound", "postfix", "postfix-deferring", "postfix-tuned", "exim")

PANEL_WIDTH = 470
LABEL_WIDTH = 122
VALUE_WIDTH = 60
BAR_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
TOP = 66
ROW = 17
BAR = 11
HEADING = 26
MARGIN = 14

# On a ground of its own, so that it reads wherever it is put; the reader's preference chooses between two.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.ground { fill: #ffffff } .title { font-size: 15px; font-weight: 600 } .heading { font-weight: 600 }
.note, .value { fill: #59636e } .label { text-anchor: end }
.own { fill: #1a7f37 } .bound { fill: #8c959f } .peer { fill: #5a8fd6 }
.whisker { stroke: #1f2328; stroke-width: 1.2; fill: none } .axis { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .ground { fill: #0d1117 } .note, .value { fill: #9198a1 }
  .own { fill: #3fb950 } .bound { fill: #6e7681 } .peer { fill: #4878b8 }
  .whisker { stroke: #f0f6fc } .axis { stroke: #3d444d }
}
"""


def groups_of(summary, per_session):
    """(heading, [(subject, figure)]) of what was measured."""
    for heading, test, clients in GROUPS:
        row = find_row(summary, test, "rate", clients=clients, per_session=per_session)
        if row:
            subjects = [name for name in row["subjects"] if name != CEILING]
            subjects.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
            yield heading, [(name, row["subjects"][name]) for name in subjects]


def draw(result):
    """The text of the picture."""
    panels = [(title, list(groups_of(result["summary"], per_session))) for per_session, title in PANELS]
    panels = [(title, groups) for title, groups in panels if groups]
    figures = [figure for _, groups in panels for _, bars in groups for _, figure in bars]
    # The same for all panels: lengths may be compared wherever they are.
    per_unit = BAR_WIDTH / max((figure["max"] for figure in figures), default=1)
    height = TOP + max((sum(HEADING + ROW * len(bars) for _, bars in groups) for _, groups in panels), default=0) + MARGIN
    width = max(len(panels), 1) * (PANEL_WIDTH + MARGIN) + MARGIN
    about = result["machine"]
    subtitle = (f"{result['size_bytes']} byte messages, {about['cores']} cores, {about['filesystem']}; every 250 after a "
                "sync; accept: delivery paused; bars: medians, whiskers: least to most of all rounds")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" aria-labelledby="title">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
        f'<text id="title" class="title" x="{MARGIN}" y="24">Messages per second</text>',
        f'<text class="note" x="{MARGIN}" y="42">{escape(subtitle)}</text>',
    ]
    for number, (title, groups) in enumerate(panels):
        left = MARGIN + number * (PANEL_WIDTH + MARGIN)
        lines += draw_panel(title, groups, left, per_unit)
    return "\n".join([*lines, "</svg>", ""])


def draw_panel(title, groups, left, per_unit):
    zero = left + LABEL_WIDTH
    y = TOP
    lines = [f'<text class="heading" x="{zero}" y="{y}">{escape(title)}</text>']
    for heading, bars in groups:
        y += HEADING
        lines.append(f'<text class="note" x="{zero}" y="{y - 6}">{escape(heading)}</text>')
        for name, figure in bars:
            lines += draw_bar(name, figure, zero, y, per_unit)
            y += ROW
    lines.append(f'<path class="axis" d="M{zero} {TOP + HEADING - 2}V{y}"/>')
    return lines


def draw_bar(name, figure, zero, y, per_unit):
    least, median, most = (zero + figure[key] * per_unit for key in ("min", "median", "max"))
    middle, base = y + BAR / 2, y + BAR - 1
    kind = {"outboxd": "own", "bound": "bound"}.get(name, "peer")
    lines = [
        f'<text class="label" x="{zero - 6}" y="{base}">{escape(name)}</text>',
        f'<rect class="{kind}" x="{zero}" y="{y}" width="{median - zero:.1f}" height="{BAR}"/>',
    ]
    if figure["rounds"] > 1:
        lines.append(f'<path class="whisker" d="M{least:.1f} {middle}H{most:.1f}M{least:.1f} {middle - 3}v6'
                     f'M{most:.1f} {middle - 3}v6"/>')
    lines.append(f'<text class="value" x="{most + 6:.1f}" y="{base}">{figure["median"]:,.0f}</text>')
    return lines
