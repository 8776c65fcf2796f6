"""Horizontal bar charts as SVG: from zero, with the spread of the rounds as a whisker."""

import math
from dataclasses import dataclass
from html import escape

from suite.verdicts import Spread

WIDTH, ROW, BAR = 860, 24, 14
LEFT, RIGHT = 130, 250  # what names and values take
TOP, BOTTOM = 4, 22
CUT = 6.0               # times weir's: longer bars are cut there, to tell the others apart


@dataclass(frozen=True)
class Bar:
    name: str
    form: str      # weir, raw or peer: its colour
    value: Spread
    text: str      # beside it


def tick_step(most):
    """1, 2 or 5 times a power of ten, four to eight of them."""
    power = 10 ** math.floor(math.log10(most / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if most / (power * factor) <= 8)


def scale_of(bars):
    """What the axis ends at: a little past the longest, but for those that are cut."""
    most = max(bar.value.most for bar in bars)
    of_weir = [bar.value.most for bar in bars if bar.form == 'weir']
    if of_weir and of_weir[0] > 0:
        most = min(most, CUT * of_weir[0])
    return most * 1.03 or 1


def axis(most, height, place):
    step = tick_step(most)
    digits = max(0, -math.floor(math.log10(step)))
    lines = []
    for number in range(int(most / step) + 1):
        x, text = place(number * step), f'{number * step:,.{digits}f}'
        lines.append(f'<line class="{"zero" if number == 0 else "grid"}" x1="{x:.1f}" y1="{TOP}" '
                     f'x2="{x:.1f}" y2="{height - BOTTOM}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" '
                     f'text-anchor="middle">{text}</text>')
    return lines


def whisker(bar, most, y, place):
    """From the least to the most of the rounds, with caps."""
    least, top = place(min(bar.value.least, most)), place(min(bar.value.most, most))
    if top - least < 1:
        return ''
    return (f'<path class="whisker" d="M{least:.1f} {y - 4}v8M{least:.1f} {y}H{top:.1f}'
            f'M{top:.1f} {y - 4}v8"/>')


def row(bar, number, most, place):
    middle = TOP + number * ROW + ROW // 2
    cut = bar.value.median > most
    end = place(min(bar.value.median, most))
    right = place(min(max(bar.value.most, bar.value.median), most))
    text = ('\u00bb ' if cut else '') + bar.text
    return [
        f'<text class="name {bar.form}-name" x="{LEFT - 8}" y="{middle + 4}" '
        f'text-anchor="end">{escape(bar.name)}</text>',
        f'<rect class="{bar.form}" x="{LEFT}" y="{middle - BAR // 2}" '
        f'width="{max(end - LEFT, 0.5):.1f}" height="{BAR}"/>',
        whisker(bar, most, middle, place),
        f'<text class="value" x="{right + 7:.1f}" y="{middle + 4}">{escape(text)}</text>',
    ]


def chart(title, bars):
    """An <svg>; `title` is read to those who cannot see it."""
    most, height = scale_of(bars), TOP + len(bars) * ROW + BOTTOM

    def place(value):
        return LEFT + value / most * (WIDTH - LEFT - RIGHT)
    parts = axis(most, height, place)
    for number, bar in enumerate(bars):
        parts += row(bar, number, most, place)
    inside = '\n'.join(part for part in parts if part)
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
            f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>\n{inside}\n</svg>')
