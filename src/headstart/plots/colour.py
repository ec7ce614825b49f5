"""The colours of the figures, for light and dark, and the style sheet that carries them.

Both ramps change evenly in lightness at a nearly fixed hue, so they stay in order for every kind
of colour blindness and on a black-and-white printer. Blue means "right" and orange "wrong": the
pair that the common colour blindnesses keep apart. No figure says anything by colour alone.
"""

from __future__ import annotations

N_STEPS = 8
DARK_TEXT, LIGHT_TEXT = "#14181d", "#ffffff"

# From faint to strong: strong is dark on a light page and bright on a dark one.
BLUE_ON_LIGHT = (
    "#dbf3ff", "#add8ff", "#85bdfd", "#62a2e8", "#4888cc", "#376ea9", "#2e5681", "#293f57",
)  # fmt: skip
BLUE_ON_DARK = (
    "#192f47", "#1f4771", "#296099", "#3875b6", "#5796da", "#7ab2f1", "#a3cfff", "#cdebff",
)  # fmt: skip
ORANGE_ON_LIGHT = (
    "#ffe8d2", "#ffc49f", "#f4a371", "#de854a", "#c26a2d", "#a0551f", "#7b431e", "#533522",
)  # fmt: skip
ORANGE_ON_DARK = (
    "#442511", "#6a340d", "#8f470c", "#b25d1e", "#d0783e", "#e99866", "#fbba94", "#ffddc3",
)  # fmt: skip

_LIGHT = {
    "paper": "#ffffff",
    "ink": "#14181d",
    "muted": "#56606b",
    "line": "#d5dae0",
    "accent": "#1f5f9e",
    "wrong": "#a0551f",
}
_DARK = {
    "paper": "#14181d",
    "ink": "#eceff3",
    "muted": "#a4afbb",
    "line": "#363e48",
    "accent": "#7ab2f1",
    "wrong": "#e99866",
}

_RULES = """
.fig{display:block;max-width:100%;height:auto;font-family:inherit;overflow:visible}
.fig text{fill:var(--ink);font-size:12.5px}
.fig .muted{fill:var(--muted)}
.fig .small{font-size:11px}
.fig .strong{font-weight:650}
.fig .line{stroke:var(--line);fill:none}
.fig .axis{stroke:var(--muted);fill:none}
.fig .outline{stroke:var(--ink);fill:none}
.fig .mark{stroke:var(--ink);fill:var(--ink)}
.fig .hollow{stroke:var(--ink);fill:var(--paper)}
.fig .accent{stroke:var(--accent);fill:var(--accent)}
.fig .curve{stroke:var(--accent);fill:none}
.fig .empty{fill:none;stroke:var(--line)}
"""


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two ``#rrggbb`` colours, from 1 to 21."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def readable_on(fill: str) -> str:
    """The text colour, dark or light, that stands out more on ``fill``."""
    return max(DARK_TEXT, LIGHT_TEXT, key=lambda text: contrast(text, fill))


def stylesheet() -> str:
    """CSS that every figure needs once a page: light, dark on a dark screen, light on paper."""
    light = _variables(_LIGHT, BLUE_ON_LIGHT, ORANGE_ON_LIGHT)
    dark = _variables(_DARK, BLUE_ON_DARK, ORANGE_ON_DARK)
    steps = "".join(
        f".fig .{ramp}{i}{{fill:var(--{ramp}{i})}}.fig text.on-{ramp}{i}{{fill:var(--on-{ramp}{i})}}\n"
        for ramp in ("blue", "orange")
        for i in range(N_STEPS)
    )
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{_RULES}{steps}"
    )


def _variables(base: dict[str, str], blue: tuple[str, ...], orange: tuple[str, ...]) -> str:
    named = dict(base)
    for ramp, colours in (("blue", blue), ("orange", orange)):
        for i, colour in enumerate(colours):
            named[f"{ramp}{i}"] = colour
            named[f"on-{ramp}{i}"] = readable_on(colour)
    return "".join(f"--{name}:{colour};" for name, colour in named.items())


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
