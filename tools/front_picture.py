"""The picture at the top of the README: the layer map, and the page after a prediction.

`make figures` calls it; it needs Chromium (Debian: apt install chromium) and the extras ``dev`` and ``web``.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Scheme = Literal["light", "dark"]
PAGE_PX = (1160, 720)
PICTURE_PX = (1500, 640)
PIXELS_PER_PX = 1.5
GROUNDS: dict[Scheme, str] = {"light": "#ffffff", "dark": "#0d1117"}
# The layer map in front, the page behind it.
LAYOUT = """<body style="margin:0;background:{ground};font-family:sans-serif;display:flex;gap:32px;
align-items:center;height:{height}px;padding:0 8px;box-sizing:border-box">
<div style="flex:0 0 auto;zoom:1.3">{map}</div>
<img style="flex:1;min-width:0;border:1px solid #8888;border-radius:8px" src="data:image/png;base64,{page}"></body>"""


def pictures(layer_map: str, photograph: Path) -> dict[Scheme, bytes]:
    """The picture in both colour schemes, as PNG.

    Parameters
    ----------
    layer_map : str
        SVG that follows the colour scheme.
    photograph : Path
        What the page is asked about.
    """
    from playwright.sync_api import sync_playwright

    found: dict[Scheme, bytes] = {}
    with server() as url, sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or None, args=["--no-sandbox"]
        )
        for scheme, ground in GROUNDS.items():
            page = open_page(browser, scheme, PAGE_PX)
            page.goto(url)
            ask_about(page, photograph)
            shown = base64.b64encode(page.screenshot()).decode()
            page = open_page(browser, scheme, PICTURE_PX)
            page.set_content(
                LAYOUT.format(ground=ground, height=PICTURE_PX[1], map=layer_map, page=shown)
            )
            found[scheme] = page.screenshot()
        browser.close()
    return found


@contextmanager
def server() -> Iterator[str]:
    """The address of `headstart web`, for as long as it is needed."""
    program = str(Path(sys.executable).with_name("headstart"))
    process = subprocess.Popen(
        [program, "web", "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(timeout=30)


def open_page(browser: Any, scheme: Scheme, size_px: tuple[int, int]) -> Any:
    """A page of its own in a colour scheme."""
    width, height = size_px
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=PIXELS_PER_PX,
    )
    return context.new_page()


def ask_about(page: Any, photograph: Path) -> None:
    """Drop a photograph into the tab Predict, and wait for the answer with its evidence."""
    page.get_by_role("tab", name="Predict").click()
    page.wait_for_timeout(1_000)
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(str(photograph))
    page.locator('img[alt^="Where the evidence for"]').wait_for(timeout=120_000)
    page.wait_for_timeout(1_500)  # what has just come is still fading in
