"""The requests of the tab Live, over HTTP."""

from __future__ import annotations

import io
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

fastapi = pytest.importorskip("fastapi", reason="the extra web is not installed")
testclient = pytest.importorskip("fastapi.testclient")


class Asked:
    """Jobs that begin nothing, and note what they were asked for."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def listed(self) -> list[Any]:
        return self.waiting

    def start(self, data: str, *, name: str, settings: dict[str, Any]) -> Any:
        self.asked = (data, name, settings)
        return type("Job", (), {"id": "j1"})


@pytest.fixture(scope="module")
def jobs() -> Asked:
    return Asked()


@pytest.fixture(scope="module")
def client(tiny: Any, jobs: Asked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from headstart.web.live.routes import serve_live
    from headstart.web.server import Guard
    from headstart.web.workspace import Workspace

    work = Workspace(tmp_path_factory.mktemp("served") / "runs")
    work.network = lambda name: tiny  # type: ignore[assignment]
    app = fastapi.FastAPI()
    serve_live(app, work, jobs, tmp_path_factory.mktemp("pictures"))  # type: ignore[arg-type]
    app.add_middleware(Guard, host="127.0.0.1")
    with testclient.TestClient(app, base_url="http://127.0.0.1") as made:
        yield made


@pytest.fixture
def at(client: Any) -> str:
    return f"/live/{client.post('/live').json()['id']}"


def test_live__from_pictures_to_a_prediction_and_a_training(
    client: Any, at: str, jobs: Asked, photos: Path
) -> None:
    assert "Not yet" in client.post(f"{at}/fit").json()["said"]
    for old, new in (("Class 1", "lying"), ("Class 2", "standing")):
        client.post(f"{at}/rename-class", params={"name": old, "to": new})
        for i in range(4):
            content = (photos / new / f"{i}.png").read_bytes()
            params = {"name": new, "file": f"{i}.png"}
            shown = client.post(f"{at}/add-picture", params=params, content=content).json()
            assert shown["error"] == ""
    assert [len(c["pictures"]) for c in shown["classes"]] == [4, 4]
    digest = shown["classes"][0]["pictures"][0]["digest"]
    assert client.get(f"{at}/pictures/{digest}").headers["content-type"] == "image/jpeg"
    fitted = client.post(f"{at}/fit").json()
    assert "With 95 % confidence" in fitted["said"]
    assert "<svg" in fitted["map"]
    assert "standing" in client.post(f"{at}/try", content=content).json()["said"]
    assert client.get(at).json()["classes"] == shown["classes"]  # after a reload
    assert client.post(f"{at}/save", params={"name": "../my set"}).json() == {"job": "j1"}
    data, name, settings = jobs.asked
    assert name == "my-set"
    assert Path(data).parent.name == "uploads"
    assert settings == {"group_by": None, "classes_from": "outer"}
    assert len(list(Path(data).rglob("*.png"))) == 8
    refused_saves_leave_nothing(client, at, jobs, Path(data).parent)
    saves_at_the_same_time_stay_apart(client, at, Path(data).parent)


def refused_saves_leave_nothing(client: Any, at: str, jobs: Asked, uploads: Path) -> None:
    before = sorted(uploads.iterdir())
    jobs.waiting = [types.SimpleNamespace(state="waiting")] * 10
    assert "10 trainings wait" in client.post(f"{at}/save", params={"name": "x"}).json()["error"]
    jobs.waiting = []
    empty = f"/live/{client.post('/live').json()['id']}"
    assert "different ones" in client.post(f"{empty}/save", params={"name": "x"}).json()["error"]
    assert sorted(uploads.iterdir()) == before


def saves_at_the_same_time_stay_apart(client: Any, at: str, uploads: Path) -> None:
    """Every visitor sees the same free name, and only one gets it."""
    from headstart.web.live import routes

    with pytest.MonkeyPatch.context() as patch:
        names = iter([uploads / "my-set", uploads / "my-set", uploads / "other"])
        patch.setattr(routes, "free_name", lambda stem, parent: next(names))
        assert client.post(f"{at}/save", params={"name": "my set"}).json() == {"job": "j1"}
    for name in ("my-set", "other"):
        assert len(list((uploads / name).rglob("*.png"))) == 8


def test_live__bad_requests_are_one_clear_line(client: Any, at: str) -> None:
    params = {"name": "Class 1", "file": "notes.txt"}
    said = client.post(f"{at}/add-picture", params=params, content=b"text").json()
    assert "notes.txt" in said["error"]
    assert [len(c["pictures"]) for c in said["classes"]] == [0, 0]
    large = client.post(f"{at}/add-picture", params=params, content=b"\0" * ((20 << 20) + 2)).json()
    assert "more than 20 MB" in large["error"]
    assert "different ones" in client.post(f"{at}/try", content=b"x").json()["missing"]
    assert "different ones" in client.post(f"{at}/save", params={"name": "x"}).json()["error"]
    assert "already" in client.post(f"{at}/add-class", params={"name": "class 1"}).json()["error"]
    assert client.get(f"{at}/pictures/none").status_code == 404


def test_live__knows_no_visitor_by_guessing_and_no_other_page(client: Any, at: str) -> None:
    for wrong in ("/live/..", "/live/0", "/live/%2e%2e%2f"):
        assert client.get(wrong).status_code == 404
    assert client.post(f"{at}/fit", headers={"origin": "https://evil.example"}).status_code == 403


@pytest.fixture
def visitors(tiny: Any, tmp_path: Path) -> Any:
    from headstart.web.live import routes
    from headstart.web.workspace import Workspace

    work = Workspace(tmp_path / "runs")
    work.network = lambda name: tiny  # type: ignore[assignment]
    return routes.Visitors(work, tmp_path / "pictures")


def test_visitors__forget_the_longest_unused_and_empty_bins_first(
    visitors: Any, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.web.live import routes
    from headstart.web.live.bins import Gone

    monkeypatch.setattr(routes, "MAX_VISITORS", 3)
    full, used, unused = visitors.start(), visitors.start(), visitors.start()
    content = (photos / "lying" / "0.png").read_bytes()
    visitors.get(full).add("Class 1", content, file="a.png")
    visitors.get(used)
    for _ in range(5):
        last = visitors.start()
    for name in (used, unused):
        with pytest.raises(Gone, match="not here any more"):
            visitors.get(name)
        assert not (tmp_path / "pictures" / name).exists()
    assert visitors.get(full).n_bytes == len(content)
    assert visitors.get(last).classes == ["Class 1", "Class 2"]


def test_visitors__have_a_budget_of_bytes_in_all(
    visitors: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.web.live import routes
    from headstart.web.live.bins import Gone

    content = (photos / "lying" / "0.png").read_bytes()
    old, empty, new = visitors.start(), visitors.start(), visitors.start()
    for name in (old, new):
        visitors.get(name).add("Class 1", content, file="a.png")
        visitors.make_room(name)
    visitors.get(old)
    monkeypatch.setattr(routes, "MAX_ALL_MB", 0)
    visitors.make_room(new)
    with pytest.raises(Gone):
        visitors.get(old)
    assert visitors.get(new).n_bytes == len(content)
    assert visitors.get(empty).n_bytes == 0


def test_live__a_visitor_whose_bins_are_closed_gets_404(client: Any, at: str) -> None:
    from headstart.web.live.bins import Bins

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bins, "__init__", closed(Bins.__init__))
        at = f"/live/{client.post('/live').json()['id']}"
    for path in ("fit", "add-class?name=x", "add-picture?name=Class 1", "try", "save?name=x"):
        answer = client.post(f"{at}/{path}", content=png())
        assert answer.status_code == 404, path
        assert "Begin again" in answer.json()["detail"]
    assert client.get(at).status_code == 404


def closed(init: Any) -> Any:
    """Bins that are removed while their visitor still has them."""

    def made(bins: Any, *given: Any) -> None:
        init(bins, *given)
        bins.close()

    return made


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    return buffer.getvalue()
