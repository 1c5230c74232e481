#!/usr/bin/env python3
"""Makes a picture (SVG) of what a program has written for a terminal: text with colours, as `vigil top --once --color always` writes it.

    vigil top mnist --once --color always | scripts/terminal_picture.py > docs/img/vigil-top.svg
    vigil dump FILE --color always | scripts/terminal_picture.py --title 'vigil dump' > docs/img/vigil-dump.svg

Understands the styles that vigil uses (SGR 0, 1, 2, 7, 30-37, 40-47, 90-97) and no other escape sequence.
"""
import argparse
import html
import re
import sys
import unicodedata

FOREGROUND, BACKGROUND = "#d4d7dd", "#15181e"
COLOURS = ["#15181e", "#ff6b68", "#6fcf7c", "#e8c35a", "#6aa5ff", "#d28bff", "#5fd3d8", "#f4f5f7"]
CHARACTER_WIDTH, LINE_HEIGHT, FONT_SIZE, MARGIN = 8.4, 16, 14, 14
SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m")


class Style:
    """What is switched on."""

    def __init__(self):
        self.bold = self.dim = self.inverse = False
        self.foreground = self.background = None

    def apply(self, codes):
        for code in [int(code or 0) for code in codes.split(";")]:
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 7:
                self.inverse = True
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.foreground = COLOURS[code % 10]
            elif 40 <= code <= 47:
                self.background = COLOURS[code % 10]

    def colours(self):
        pair = (self.foreground or FOREGROUND, self.background)
        return (BACKGROUND, FOREGROUND) if self.inverse else pair


def columns_of(text):
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def runs_of(line, style):
    """Pieces of a line with one style: (column, text, foreground, background, bold, dim)."""
    column, at = 0, 0
    for match in list(SEQUENCE.finditer(line)) + [None]:
        text = line[at:match.start() if match else len(line)]
        if text:
            yield (column, text, *style.colours(), style.bold, style.dim)
            column += columns_of(text)
        if match:
            style.apply(match.group(1))
            at = match.end()


def picture_of(text, title):
    lines = text.rstrip("\n").split("\n")
    columns = max(columns_of(SEQUENCE.sub("", line)) for line in lines)
    top = MARGIN + (LINE_HEIGHT + 6 if title else 0)
    width, height = columns * CHARACTER_WIDTH + 2 * MARGIN, top + len(lines) * LINE_HEIGHT + MARGIN
    shapes, style = [], Style()
    if title:
        shapes.append(f'<text x="{width / 2:.1f}" y="{MARGIN + 8}" text-anchor="middle" opacity="0.6">{html.escape(title)}</text>')
    for row, line in enumerate(lines):
        y = top + row * LINE_HEIGHT
        for column, piece, foreground, background, bold, dim in runs_of(line, style):
            x, length = MARGIN + column * CHARACTER_WIDTH, columns_of(piece) * CHARACTER_WIDTH
            if background:
                shapes.append(f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{LINE_HEIGHT}" fill="{background}"/>')
            if not piece.strip():
                continue
            looks = f'fill="{foreground}"' + (' font-weight="bold"' if bold else "") + (' opacity="0.65"' if dim else "")
            shapes.append(f'<text x="{x:.1f}" y="{y + FONT_SIZE - 1}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
                          f'{looks} xml:space="preserve">{html.escape(piece)}</text>')
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{FONT_SIZE}" fill="{FOREGROUND}">',
        *shapes, "</g>", "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description="Makes an SVG of terminal output with colours, from stdin to stdout.")
    parser.add_argument("--title", default="", help="stands above it")
    title = parser.parse_args().title
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    if not text.strip():
        sys.exit("terminal_picture.py: nothing to draw on stdin")
    sys.stdout.write(picture_of(text.replace("\r", ""), title))


if __name__ == "__main__":
    main()
