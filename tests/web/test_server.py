"""The server without a browser: the port, what it refuses, the reports, and what it must not import."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.cli.app import run as command
from headstart.errors import DataError, InputError, RunError
from headstart.web.server import (
    NOT_FROM_HERE,
    POLICY,
    UNKNOWN_HOST,
    Guard,
    open_port,
    serve_reports,
)
from headstart.web.workspace import Workspace, folders_in


def test_open_port__says_that_a_port_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} .*choose another --port") as caught:
            open_port("127.0.0.1", port)
    assert "\n" not in str(caught.value)


def test_open_port__other_bad_input() -> None:
    with pytest.raises(InputError, match="from 0 to 65535"):
        open_port("127.0.0.1", 70000)
    with pytest.raises(InputError, match="cannot listen at"):
        open_port("192.0.2.1", 0)


def test_web__a_port_in_use_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert command(["web", "--port", str(taken.getsockname()[1])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["web", "--help"]])
def test_start_up__does_not_import_gradio(words: list[str]) -> None:
    code = (
        "import sys, headstart.cli.app as app; "
        f"app.run({words!r}); "
        "print([m for m in ('gradio', 'torch', 'fastapi', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7860"}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": "evil.example:7860"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "null"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:9999"}, 403),
        ({}, 403),
        ({"host": "[bad"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://[bad"}, 403),
        ({"host": "127.0.0.1:7860@evil.example"}, 403),
        ({"host": "evil.example@127.0.0.1:7860"}, 403),
        ({"host": "192.168.0.7:7860"}, 403),
        ({"host": "127.0.0.1", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"host": "127.0.0.1", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"host": "127.0.0.1", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_guard__lets_this_page_alone_in(kind: str, headers: dict[str, str], status: int) -> None:
    import asyncio

    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": kind,
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    asyncio.run(Guard(app, host="127.0.0.1")(scope, None, send))  # type: ignore[arg-type]
    if kind == "websocket" and status == 403:
        assert sent == [{"type": "websocket.close", "code": 1008}]
        return
    assert sent[0]["status"] == status
    if status == 200:
        assert dict(sent[0]["headers"]) == {
            b"content-security-policy": POLICY.encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"same-origin",
        }


@pytest.mark.parametrize(
    ("host", "is_let_in"),
    [
        ("192.168.0.7:7860", True),
        ("[fe80::1]:7860", True),
        ("localhost:7860", True),
        (f"{socket.gethostname()}:7860", True),
        ("evil.example:7860", False),
        ("", False),
    ],
)
def test_guard__open_to_others_takes_addresses_and_its_own_name(host: str, is_let_in: bool) -> None:
    """A name that somebody else made point here (DNS rebinding) is none of these."""
    refused = Guard(None, host="0.0.0.0")._refusal({"host": host})
    assert refused in (("",) if is_let_in else (UNKNOWN_HOST, NOT_FROM_HERE))


@given(st.text(), st.text(), st.sampled_from(["127.0.0.1", "0.0.0.0"]))
def test_guard__takes_any_headers(host: str, origin: str, at: str) -> None:
    """None makes it fail, and none but this computer's is let in."""
    guard = Guard(None, host=at)
    assert guard._refusal({"host": f"{host}.evil.example"})
    assert guard._refusal({"host": "localhost", "origin": f"http://{origin}.evil.example"})
    assert guard._refusal({"host": host, "origin": origin}) in ("", NOT_FROM_HERE, UNKNOWN_HOST)


def test_guard__takes_the_names_that_are_allowed() -> None:
    guard = Guard(None, host="0.0.0.0", allowed=["Pictures.school.example"])
    assert guard._refusal({"host": "pictures.school.example"}) == ""
    assert guard._refusal({"host": "pictures.school.example.:443"}) == ""
    assert "--allow-host" in guard._refusal({"host": "other.example"})
    assert Guard(None, host="127.0.0.1", allowed=["*"])._refusal({"host": "any.example"}) == ""


def test_workspace__lists_finished_runs_alone(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "runs")
    assert work.run_names() == []
    for name in ("done", ".hidden", "half"):
        (tmp_path / "runs" / name / "model").mkdir(parents=True)
        if name != "half":
            (tmp_path / "runs" / name / "metrics.json").write_text("{}")
    assert work.run_names() == ["done"]
    for name in ("../runs/done", ".hidden", "half", "/etc", ""):
        with pytest.raises(RunError, match="there is no run"):
            work.run_folder(name)


def test_workspace__last_runs_say_why_one_cannot_be_read(tmp_path: Path) -> None:
    work = Workspace(tmp_path / "runs")
    (tmp_path / "runs" / "damaged" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "damaged" / "metrics.json").write_text("{}")
    [(name, said, _)] = work.last_runs(6)
    assert name == "damaged"
    assert "cannot be read" in said
    assert work.last_runs(0) == []


def test_folders_in__shows_folders_and_tells_what_it_cannot_read(tmp_path: Path) -> None:
    for name in ("b", "A", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    assert folders_in(tmp_path) == ["A", "b"]
    with pytest.raises(DataError, match="cannot look into"):
        folders_in(tmp_path / "file")


@pytest.fixture
def reports(tmp_path: Path) -> Any:
    """A client of the guarded reports, and a run folder of which it may ask the report."""
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")
    run = tmp_path / "runs" / "run"
    (run / "model").mkdir(parents=True)
    (run / "metrics.json").write_text("{}")
    (run / "report.html").write_text("<script>parent.document.title = 'mine'</script>")
    app = fastapi.FastAPI()
    serve_reports(app, Workspace(tmp_path / "runs"))
    app.add_middleware(Guard, host="127.0.0.1")
    return testclient.TestClient(app, base_url="http://127.0.0.1"), run


def test_reports__are_a_page_of_their_own(reports: Any) -> None:
    client, _ = reports
    answer = client.get("/reports/run")
    assert answer.status_code == 200
    policies = answer.headers.get_list("content-security-policy")
    [sandbox] = [p for p in policies if p.startswith("sandbox")]
    assert "allow-same-origin" not in sandbox
    assert POLICY in policies


def test_reports__can_be_saved_as_a_file_to_send(reports: Any) -> None:
    client, run = reports
    answer = client.get("/reports/run?download=1")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''run-report.html"
    assert answer.text == (run / "report.html").read_text()
    assert "attachment" not in str(client.get("/reports/run").headers)


def test_reports__never_from_a_link(reports: Any, tmp_path: Path) -> None:
    client, run = reports
    (tmp_path / "secret").write_text("secret")
    for target in (tmp_path / "secret", run / "metrics.json"):
        (run / "report.html").unlink()
        (run / "report.html").symlink_to(target)
        answer = client.get("/reports/run")
        assert answer.status_code == 404
        assert "secret" not in answer.text
    (run / "report.html").unlink()
    assert client.get("/reports/run").status_code == 404
    (run / "report.html").write_text("x")
    (run.parent / "way").symlink_to(run)
    assert client.get("/reports/way").status_code == 404
    assert client.get("/reports/..").status_code in (404, 200)
    assert client.get("/reports/..%2Frun").status_code == 404
