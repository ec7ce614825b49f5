"""The requests of the tab Live, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

fastapi = pytest.importorskip("fastapi", reason="the extra web is not installed")
testclient = pytest.importorskip("fastapi.testclient")


class Asked:
    """Jobs that begin nothing, and note what they were asked for."""

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


def test_visitors__forget_the_least_recent(
    client: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.web.live import routes
    from headstart.web.workspace import Workspace

    work = Workspace(tmp_path / "runs")
    work.network = lambda name: tiny  # type: ignore[assignment]
    monkeypatch.setattr(routes, "MAX_VISITORS", 2)
    visitors = routes.Visitors(work, tmp_path / "pictures")
    first, second = visitors.start(), visitors.start()
    visitors.get(first)
    visitors.start()
    with pytest.raises(fastapi.HTTPException, match="not here any more"):
        visitors.get(second)
    assert not (tmp_path / "pictures" / second).exists()
    assert visitors.get(first).classes == ["Class 1", "Class 2"]
