"""Live: class bins, how sure the classifier of them is, and pictures to try.

The bins are plain HTML with a script (``live.js``): Gradio's components are fixed when the page is built,
and pictures cannot be dragged into one of several.
"""

from __future__ import annotations

import gradio as gr
from markupsafe import Markup

from headstart.web import html
from headstart.web.live.bins import MAX_CLASSES, MAX_MB, MAX_PICTURES, MAX_VISITOR_MB, MIN_EACH

LIMITS = (
    f"At most {MAX_PICTURES} pictures of {MAX_MB} MB in {MAX_CLASSES} classes, {MAX_VISITOR_MB} MB in all. "
    "They stay on the computer that serves this page, and are gone when the server stops or needs the room "
    "for other visitors, unless you save them."
)


def live_tab() -> None:
    """Build the tab."""
    gr.HTML(
        Markup(PAGE).format(
            limits=LIMITS,
            no_figure=html.empty(
                "No figure yet",
                f"With {MIN_EACH} pictures in each of two classes, the accuracy and its interval are "
                "here at once, and follow every picture.",
            ),
            no_map=html.empty(
                "The layer map", "How accurate a classifier on each layer of the network is."
            ),
            no_try=html.empty(
                "The prediction", "The classes of the picture with their probabilities."
            ),
        ),
        elem_id="live",
    )


PAGE = """<div class="live">
<section aria-labelledby="live-bins-title">
<h2 id="live-bins-title">Put pictures into classes</h2>
<p class="hs-small">{limits}</p>
<div id="live-classes"><p class="hs-small">Loading the network …</p></div>
<p class="live-row"><button type="button" id="live-add">Add a class</button>
<button type="button" id="live-camera" aria-pressed="false">Use the camera</button></p>
<video id="live-video" hidden muted playsinline aria-label="Picture of the camera"></video>
<p id="live-busy" class="hs-small" role="status"></p>
<div id="live-problem" role="alert"></div>
</section>
<section aria-labelledby="live-figure-title">
<h2 id="live-figure-title">How accurate it is</h2>
<div id="live-figure" aria-live="polite">{no_figure}</div>
<h2 id="live-try-title">Try a picture</h2>
<div class="live-drop" id="live-try"><label class="live-file">Drop a picture here, or <span>choose one</span>
<input type="file" accept="image/*" aria-label="Picture to try"></label>
<button type="button" class="live-shoot" hidden>Try the camera</button></div>
<div id="live-tried" aria-live="polite">{no_try}</div>
<h2 id="live-map-title">Which layers tell the classes apart</h2>
<div id="live-map">{no_map}</div>
<h2 id="live-save-title">Keep it</h2>
<form id="live-save" class="live-row"><label>Name <input name="name" value="my-classes" maxlength="40" required></label>
<button type="submit">Save and train</button></form>
<p class="hs-small">Saves the pictures in a folder for each class and trains on them, with a test on pictures held out:
then the run is under Predict, and <code>headstart export</code> takes it.</p>
<div id="live-saved" role="status"></div>
</section></div>"""
