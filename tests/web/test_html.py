"""Names are escaped wherever they stand."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from headstart.data import index
from headstart.web import html
from headstart.web.jobs import Job

UGLY = "<b>x</b>\n\"'"


def test_html__escapes_what_people_and_files_say() -> None:
    job = Job(id="a1", data="d", name=UGLY, settings={}, state="failed", message=UGLY)
    job.stages[UGLY] = (1, 0)
    made = [
        html.alert(UGLY), html.note(UGLY), html.bars([(UGLY, 0.5)]), html.frame("/x", UGLY),
        html.frame_of(UGLY, UGLY), html.inline(Image.new("L", (2, 2)), UGLY),
        html.job_view(job, 0), html.figure(html.text(UGLY), UGLY), html.empty(UGLY, UGLY),
        html.steps([UGLY], 0, UGLY), html.runs_view([(UGLY, UGLY, 0.0)], 0),
        html.report_links(UGLY),
    ]  # fmt: skip
    for piece in made:
        assert "<b>x" not in piece
        assert "\n\"'" not in piece
    assert "\n" not in html.job_line(job, 0)


def test_job_view__draws_the_map_as_far_as_it_is_filled() -> None:
    job = Job(id="a1", data="d", name="n", settings={}, state="running")
    assert "<svg" not in html.job_view(job, 0)
    job.note({"event": "plan", "places": [["conv1", "64"], ["conv1", "96"]]})
    job.note({"event": "cell", "place": ["conv1", "64"], "accuracy": 0.875})
    shown = html.job_view(job, 0)
    assert "1 of 2 measured" in shown
    assert "87.5" in shown


def test_data_view__names_what_is_to_be_mended(photos: Path, tmp_path: Path) -> None:
    assert "No damaged files" in html.data_view(index(photos))
    root = shutil.copytree(photos, tmp_path / "photos")
    (root / "lying" / "broken.png").write_bytes(b"no picture")
    shutil.copy(root / "lying" / "0.png", root / "standing" / "same.png")
    shown = html.data_view(index(root))
    assert "files that cannot be used: 1, such as lying/broken.png" in shown
    assert "exact duplicates in two classes: 1" in shown


def test_data_view__of_labels_and_of_numbers(photos: Path, tmp_path: Path) -> None:
    rows = [
        (f"{k}/{i}.png", "a;b" if i % 2 else k, i) for k in ("lying", "standing") for i in range(8)
    ]
    rows += [(f"standing/copy{i}.png", "", 20 + i) for i in range(4)]
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    for i in range(4):
        shutil.copy(root / "lying" / f"{i}.png", root / "standing" / f"copy{i}.png")
    table = root / "t.csv"
    table.write_text("image,tags,age\n" + "\n".join(f"{a},{b},{c}" for a, b, c in rows))
    shown = html.data_view(index(table, multi_label=";"))
    assert "20 images, 4 labels" in shown
    assert "4 images without a label" in shown
    assert "with different labels: 4" in shown
    shown = html.data_view(index(table, target_column="age"))
    assert "20 images, a number each" in shown
    assert "Numbers from 0 to 23" in shown
    assert "with different numbers: 4" in shown
    assert "<svg" not in shown


def test_job_view__shows_every_stage_from_the_first_second_and_the_time_left() -> None:
    job = Job(id="a1", data="d", name="n", settings={})
    assert html.job_view(job, 1).count('value="0"') == html.job_view(job, 1).count("<progress")
    job.state = "running"
    shown = html.job_view(job, 0)
    assert shown.index("read images") < shown.index("extract features") < shown.index("report")
    job.note({"event": "progress", "stage": "read images", "done": 25, "total": 100})
    assert " left" not in html.job_view(job, 0)  # too early to say
    job.since["read images"] -= 10
    assert "25 of 100 images · 30 s left" in html.job_view(job, 0)
    assert "extract features <span>to come" in html.job_view(job, 0)
    job.note({"event": "progress", "stage": "cross-validate", "done": 1, "total": 9})
    assert "extract features" not in html.job_view(job, 0)  # their features were stored
    assert "refit <span>to come" in html.job_view(job, 0)
    job.state = "failed"
    assert "to come" not in html.job_view(job, 0)


def test_runs_view__says_what_will_be_there_and_how_many_more_there_are() -> None:
    assert "No runs yet" in html.runs_view([], 0)
    shown = html.runs_view([("a b", "92 %", 0.0)], 3)
    assert 'href="/reports/a%20b"' in shown
    assert "3 older runs" in shown
    assert "older" not in html.runs_view([("a", "92 %", 0.0)], -5)
