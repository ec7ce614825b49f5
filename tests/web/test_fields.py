"""Every function behind the page, as a field that was never shown or was cleared calls it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

gr = pytest.importorskip("gradio", reason="the extra web is not installed")

fields = pytest.importorskip("headstart.web.fields")
Page, sent = fields.Page, fields.sent


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """In which pages are made: outside one, Gradio makes loops of its own and leaves them open."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def built(loop: asyncio.AbstractEventLoop, make: Callable[[], Any]) -> Any:
    async def build() -> Any:
        return make()

    return loop.run_until_complete(build())


@pytest.fixture(scope="module")
def page(
    loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    from headstart.web.jobs import Jobs
    from headstart.web.page import build_page
    from headstart.web.workspace import Workspace

    runs = tmp_path_factory.mktemp("served") / "runs"
    jobs = Jobs(runs)
    yield built(loop, lambda: build_page(Workspace(runs), jobs))
    jobs.close()


def call(loop: asyncio.AbstractEventLoop, page: Any, function: Any, inputs: list[Any]) -> list[Any]:
    """What the page is sent back for one event."""
    from gradio.state_holder import SessionState

    request = gr.Request(session_hash="s", query_params={})
    answer = loop.run_until_complete(
        page.process_api(
            function,
            inputs,
            state=SessionState(page),
            request=request,
            event_data=gr.EventData(None, {"text": "[[1]]", "value": "x", "index": 0}),
        )
    )
    return list(answer["data"])


def test_page__every_function_takes_null_from_every_field(
    loop: asyncio.AbstractEventLoop, page: Any, caplog: pytest.LogCaptureFixture
) -> None:
    functions = [f for f in page.fns.values() if f.fn is not None]
    assert len(functions) > 30
    with caplog.at_level(logging.ERROR):
        for function in functions:
            said = str(call(loop, page, function, [None] * len(function.inputs)))
            assert "unexpected" not in said, function.name
    assert caplog.records == []


def test_page__an_unexpected_error_is_one_line_and_its_traceback_is_logged(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise KeyError("a\nb")

    def make() -> Any:
        with Page() as page:
            gr.Button().click(broken, None, None)
        return page

    page = built(loop, make)
    with pytest.raises(gr.Error, match="unexpected KeyError") as caught:
        call(loop, page, page.fns[0], [])
    assert "\n" not in caught.value.message
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


def test_sent__a_field_that_is_empty_has_its_default() -> None:
    assert sent(gr.Textbox(), None) == ""
    assert sent(gr.Textbox("x"), None) == "x"
    assert sent(gr.Textbox("x"), "") == ""
    assert sent(gr.Number(3, precision=0), None) == 3
    assert sent(gr.Number(3, precision=0), 0) == 0
    assert sent(gr.Slider(0, 1, value=0.2), None) == 0.2
    assert sent(gr.Dropdown(["a", "b"], value="b"), None) == "b"
    assert sent(gr.Image(), None) is None


def test_sent__a_number_outside_its_range_is_named_with_its_field() -> None:
    with pytest.raises(gr.Error, match="Seed: must be at least 0; got -4"):
        sent(gr.Number(0, minimum=0, label="Seed"), -4)
    with pytest.raises(gr.Error, match="Stride: must be from 1 to 8; got 16"):
        sent(gr.Slider(1, 8, value=1, label="Stride"), 16)
