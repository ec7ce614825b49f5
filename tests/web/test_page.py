"""The page in a real browser, against a real server: nothing is stood in for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
Grave = Callable[[Any], list[str]]
START = "from headstart.cli.app import main; main()"

pytest.importorskip("gradio", reason="the extra web is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if not Path(CHROMIUM).exists():
    pytest.skip("no Chromium here (Debian: apt install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "runs"


@pytest.fixture(scope="module")
def url(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own process at a free port."""
    cache = tmp_path_factory.getbasetemp() / "web-cache"
    temporary = tmp_path_factory.mktemp("temporary")
    server = subprocess.Popen(
        [sys.executable, "-c", START, "web", "--port", "0", "--json", "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HEADSTART_CACHE": str(cache), "TMPDIR": str(temporary)},
    )
    assert server.stdout is not None
    with server.stdout:
        line = server.stdout.readline()
        assert line, "the server did not start"
        yield json.loads(line)["url"]
        server.terminate()
        assert server.wait(timeout=30) == 0
        assert list(temporary.glob("headstart-web-*")) == [], "uploads are left behind"


@pytest.fixture
def visit(browser: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Open the page; in the end no page may have asked anyone else for anything, or have failed."""
    outside: list[str] = []
    contexts = []

    def asked(request: Any) -> None:
        if not request.url.startswith((url, "data:", "blob:", "about:")):
            outside.append(request.url)

    def open_page(
        width: int = 1280, height: int = 900, scheme: str = "light", *, is_phone: bool = False
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            is_mobile=is_phone,
            has_touch=is_phone,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("request", asked)
        page.on("pageerror", lambda error: outside.append(f"error: {error}"))
        page.goto(url)
        arrived(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert outside == []


@pytest.fixture(scope="module")
def archive(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "stripes.zip"
    with zipfile.ZipFile(path, "w") as members:
        for file in sorted(photos.rglob("*.png")):
            members.write(file, f"stripes/{file.relative_to(photos).as_posix()}")
    return path


def arrived(page: Any) -> None:
    """Wait until the page answers, as a person does before the first click."""
    page.get_by_role("button", name="Start training").wait_for()
    page.wait_for_timeout(500)


def turn_to(page: Any, name: str) -> None:
    """Another tab; its parts answer a moment after they show."""
    page.get_by_role("tab", name=name).click()
    page.wait_for_timeout(500)


def drop(page: Any, path: Path) -> None:
    page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(str(path))


def folder_field(page: Any) -> Any:
    return page.get_by_label("Folder of pictures on this computer")


def start_button(page: Any) -> Any:
    return page.get_by_role("button", name="Start training")


def answer(page: Any) -> str:
    """The sentence of the job that is shown, once its report is there too."""
    heading = page.frame_locator("#report iframe").get_by_role("heading", level=1)
    heading.wait_for(timeout=300_000)
    return str(page.locator(".hs-answer").inner_text())


@pytest.fixture
def grave(serious: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """What axe finds once everything has come."""

    def check(page: Any) -> list[str]:
        sync_api.expect(page.locator(".progress-text:visible")).to_have_count(0, timeout=30_000)
        page.wait_for_timeout(1_000)  # what has just come is still fading in
        return serious(page)

    return check


def test_page__a_kernel_is_edited_and_the_result_follows(
    visit: Callable[..., Any], grave: Grave
) -> None:
    page = visit()
    turn_to(page, "Convolution")
    result = page.locator("#convolved img").nth(1)
    result.wait_for()
    before = result.get_attribute("src")
    page.get_by_label("row 2, column 2").fill("9")
    page.locator('#convolved img[alt*="9,-1"]').wait_for()
    assert page.get_by_label("The same as text").input_value().startswith("[[-1,-1,-1],[-1,9,")
    assert result.get_attribute("src") != before
    page.get_by_label("The same as text").fill("[[1,2],[3,4]]")
    page.get_by_text("must have an odd side").wait_for()
    page.get_by_label("The same as text").fill("[[0,0,0],[0,1,0],[0,0,0]]")
    page.locator('#convolved img[alt*="[0,1,0]"]').wait_for()
    sync_api.expect(page.get_by_label("row 1, column 1")).to_have_value("0")
    assert grave(page) == []


def test_page__predicts_in_the_dark_too(
    visit: Callable[..., Any], photos: Path, grave: Grave
) -> None:
    page = visit(scheme="dark")
    turn_to(page, "Predict")
    drop(page, photos / "lying" / "3.png")
    page.locator(".hs-card .hs-bars tr").nth(5).wait_for()
    page.locator('img[alt^="Where the evidence for"]').wait_for()
    assert grave(page) == []


def test_page__bad_archives_and_folders_are_one_clear_line(
    visit: Callable[..., Any], tmp_path: Path, runs: Path
) -> None:
    page = visit()
    for name, member, size, said in (
        ("evil", "../evil.png", 10, "outside its folder"),
        ("bomb", "a/0.png", 65 << 20, "which no pictures do"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as members:
            members.writestr(member, b"\0" * size)
        drop(page, tmp_path / f"{name}.zip")
        page.locator(".hs-alert", has_text=said).wait_for()
        page.reload()
        arrived(page)
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    drop(page, tmp_path / "broken.zip")
    told = page.locator(".hs-alert", has_text="cannot unpack 'broken.zip'")
    told.wait_for()
    page.wait_for_timeout(1_000)
    assert told.is_visible()  # nothing else has taken its place
    assert not list(runs.rglob("evil.png"))
    folder_field(page).fill(str(tmp_path / "${1+1} {{7*7}}"))
    page.get_by_role("button", name="Look at the data").click()
    page.locator("#found .hs-alert", has_text="${1+1} {{7*7}}").wait_for()
    turn_to(page, "Predict")
    (tmp_path / "text.png").write_text("no picture")
    drop(page, tmp_path / "text.png")
    page.locator(".hs-card .hs-alert").wait_for()
    turn_to(page, "Convolution")
    drop(page, tmp_path / "text.png")
    page.locator("#convolved .hs-alert", has_text="cannot use 'text.png'").wait_for()


def todo(page: Any) -> Any:
    """What the page says is to be done next."""
    return page.locator("#next p")


def test_page__a_first_visit_types_a_folder_starts_and_reads_the_answer(
    visit: Callable[..., Any], photos: Path
) -> None:
    page = visit()
    page.locator("#last-runs", has_text="No runs yet").wait_for()
    sync_api.expect(todo(page)).to_contain_text("sample data")
    folder_field(page).fill(str(photos))
    sync_api.expect(todo(page)).to_contain_text("Start training")
    start_button(page).click()
    for stage in ("read images", "extract features", "cross-validate"):  # from the first second
        page.locator("#job li", has_text=stage).wait_for()
    page.reload()  # the training goes on, and the page finds it again
    assert "test images" in answer(page)
    assert page.locator(".hs-alert").count() == 0
    sync_api.expect(todo(page)).to_contain_text("report")

    page.goto(page.url.partition("?")[0])  # a later visit
    arrived(page)
    link = page.locator("#last-runs li", has_text="test images").get_by_role("link", name="Open")
    with page.context.expect_page() as opened:
        link.click()
    assert opened.value.url.endswith("/reports/photos")
    opened.value.get_by_role("heading", level=1).wait_for()
    page.get_by_role("radio").first.check()
    page.get_by_role("button", name="See its layers").click()
    page.locator("#profile svg").wait_for()


def test_page__a_table_offers_its_columns_and_is_fitted_on_several_labels(
    visit: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    layout_faults: Callable[[Any], list[str]],
    grave: Grave,
) -> None:
    with zipfile.ZipFile(tmp_path / "tagged.zip", "w") as members:
        rows = ["image,tags,age"]
        for i in range(8):
            for k, name in enumerate(("lying", "standing")):
                members.write(photos / name / f"{i}.png", f"pictures/{name}{i}.png")
                tag = f"{name};grey" if i % 2 else name
                rows.append(f"pictures/{name}{i}.png,{tag},{i + 10 * k}")
        members.writestr("tagged.csv", "\n".join(rows))
    page = visit(390, 844, "dark", is_phone=True)
    form = page.locator("#columns")
    sync_api.expect(form).to_be_hidden()
    drop(page, tmp_path / "tagged.zip")
    page.locator("#found h2", has_text="16 images, 3 labels").wait_for()
    sync_api.expect(page.get_by_label("Several labels, in one column")).to_be_checked()
    sync_api.expect(page.get_by_label("What separates the labels")).to_have_value(";")
    assert layout_faults(page) == []
    assert grave(page) == []
    page.get_by_label("A number").check()
    sync_api.expect(page.get_by_label("What separates the labels")).to_be_hidden()
    sync_api.expect(page.get_by_label("Number column")).to_have_value("age")
    page.get_by_role("button", name="Look at the data").tap()
    page.locator("#found .hs-alert", has_text="20 images or more").wait_for()
    page.get_by_label("Several labels, a column each").check()
    start_button(page).tap()
    page.locator(".hs-alert", has_text="“Label columns”").wait_for()
    page.get_by_label("Several labels, in one column").check()
    sync_api.expect(page.locator(".hs-alert")).to_have_count(0)
    start_button(page).tap()
    assert "precision" in answer(page)
    page.get_by_role("button", name="Predict with it").tap()
    drop(page, photos / "lying" / "3.png")
    page.locator(".hs-card .hs-bars tr").nth(2).wait_for()


def test_page__sample_data_is_one_click_away(visit: Callable[..., Any]) -> None:
    pytest.importorskip("skimage", reason="the extra demo is not installed")
    page = visit()
    page.get_by_role("button", name="Photographs").click()
    page.get_by_role("heading", name="204 images, 11 classes").wait_for()
    sync_api.expect(folder_field(page)).to_have_value("photographs")
    sync_api.expect(todo(page)).to_contain_text("Start training")


def test_page__an_error_goes_once_what_caused_it_is_changed(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit()
    start_button(page).click()
    alert = page.locator(".hs-alert")
    alert.wait_for()
    folder_field(page).fill(str(tmp_path / "none"))
    sync_api.expect(alert).to_have_count(0)
    page.keyboard.press("Tab")  # a path that is not there is told of when the field is left
    sync_api.expect(alert).to_contain_text("no such folder")
    sync_api.expect(todo(page)).to_contain_text("type a folder that is there")
    folder_field(page).fill("digits")
    sync_api.expect(todo(page)).to_contain_text("Start training")
    sync_api.expect(alert).to_have_count(0)
    folder_field(page).fill(str(tmp_path / "none"))
    page.get_by_role("button", name="Look at the data").click()
    page.locator("#found .hs-alert").wait_for()
    sync_api.expect(alert).to_have_count(1)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Seed").fill("3")
    sync_api.expect(alert).to_have_count(0)
    turn_to(page, "Compare")
    page.get_by_role("button", name="Compare").click()
    alert.wait_for()


def test_page__a_zip_above_the_limit_is_refused_before_it_is_sent(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit()
    with (tmp_path / "huge.zip").open("wb") as file:
        file.truncate((2 << 30) + 1)
    page.get_by_text("at most 2 GB").wait_for()
    drop(page, tmp_path / "huge.zip")
    page.get_by_text("exceed the maximum allowed size of 2").wait_for()


def test_page__a_first_visit_on_a_phone_reads_the_answer_too(
    visit: Callable[..., Any], photos: Path, layout_faults: Callable[[Any], list[str]]
) -> None:
    page = visit(390, 844, is_phone=True)
    known = page.locator("#jobs label", has_text="photos · done")  # of the visit before
    if known.count():
        known.first.tap()
    else:
        folder_field(page).fill(str(photos))
        start_button(page).tap()
    assert "test images" in answer(page)
    assert layout_faults(page) == []
    report = page.locator("#report iframe").element_handle().content_frame()
    assert layout_faults(report) == []
    page.get_by_role("button", name="Predict with it").tap()
    sync_api.expect(page.get_by_label("Classes of")).to_have_value("photos")
    drop(page, photos / "lying" / "3.png")
    page.locator(".hs-near img").nth(5).wait_for()
    assert layout_faults(page) == []


def put(page: Any, name: str, files: list[Path]) -> None:
    """Choose pictures for a class of the tab Live."""
    page.get_by_label(f"Pictures of {name}").set_input_files([str(file) for file in files])


def test_live__measures_the_classes_at_every_picture_and_tries_one(
    visit: Callable[..., Any],
    photos: Path,
    tmp_path: Path,
    layout_faults: Callable[[Any], list[str]],
    grave: Grave,
) -> None:
    page = visit(390, 844, "dark")
    turn_to(page, "Live")
    beside = [page.locator(f"#live-{x}").bounding_box() for x in ("add", "camera")]
    assert beside[0]["y"] == beside[1]["y"]
    assert beside[0]["height"] == beside[1]["height"]
    name = page.get_by_label("Name of class 1")
    name.fill("lying")
    name.press("Enter")
    page.get_by_role("button", name="Remove the class lying").wait_for()
    put(page, "lying", [photos / "lying" / f"{i}.png" for i in range(4)])
    page.locator("#live-figure", has_text="Put pictures into one more class").wait_for()
    (tmp_path / "notes.txt").write_text("no picture")
    put(page, "Class 2", [photos / "standing" / "0.png", tmp_path / "notes.txt"])
    page.locator("#live-problem .hs-alert", has_text="notes.txt").wait_for()
    page.locator("#live-figure", has_text="2 more of Class 2").wait_for()
    page.get_by_label("Picture to try").set_input_files(str(photos / "standing" / "6.png"))
    page.locator("#live-tried", has_text="2 more of Class 2").wait_for()
    put(page, "Class 2", [photos / "standing" / f"{i}.png" for i in range(1, 4)])
    page.locator("#live-figure", has_text="With 95 % confidence").wait_for()
    sync_api.expect(page.locator("#live-problem .hs-alert")).to_have_count(0)
    page.locator("#live-map svg").wait_for()
    sync_api.expect(page.locator("#live-tried tbody th").first).to_have_text("Class 2")
    assert layout_faults(page) == []
    assert grave(page) == []
    page.reload()
    arrived(page)
    turn_to(page, "Live")
    page.locator("#live-figure", has_text="With 95 % confidence").wait_for()
    page.get_by_role("button", name="Remove the class lying").click()
    page.locator("#live-figure", has_text="one more class").wait_for()


def test_live__a_camera_that_is_refused_is_one_clear_line(visit: Callable[..., Any]) -> None:
    page = visit()
    turn_to(page, "Live")
    camera = page.get_by_role("button", name="Use the camera")
    camera.click()
    page.locator("#live-problem .hs-alert", has_text="The camera was refused").wait_for()
    page.context.grant_permissions(["camera"])
    camera.click()
    page.get_by_label("Picture of the camera").wait_for()
    sync_api.expect(page.locator("#live-problem .hs-alert")).to_have_count(0)
    shoot = page.locator(".live-class .live-shoot").first
    shoot.focus()
    page.keyboard.press("Enter")
    page.get_by_alt_text("the camera’s picture in Class 1").wait_for()


@pytest.mark.slow
def test_page__a_careless_visit(
    visit: Callable[..., Any], make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    page = visit()
    start_button(page).click()
    page.locator(".hs-alert", has_text="no data yet").wait_for()
    folder_field(page).fill(str(tmp_path / "phtos"))
    start_button(page).click()
    page.locator(".hs-alert", has_text="phtos").first.wait_for()
    assert page.locator("#jobs label", has_text="phtos").count() == 0  # before a job is made
    folder_field(page).fill(str(make_photos(tmp_path / "once", n=150)))
    start_button(page).dblclick()
    page.locator("#job h2", has_text="once").wait_for()
    page.wait_for_url("**/?job=*")
    page.wait_for_timeout(1_500)
    assert page.locator("#jobs label", has_text="once").count() == 1
    page.reload()
    arrived(page)
    turn_to(page, "Compare")
    page.get_by_role("button", name="Compare").click()
    page.locator(".hs-alert:visible", has_text="two or more").wait_for()
    turn_to(page, "Train")
    assert "once" in page.locator("#job h2").inner_text()
    page.get_by_role("button", name="Cancel this job").click()
    page.locator("#job .hs-state.stopped").wait_for()


def test_page__fields_that_are_cleared_have_their_defaults(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Seed").fill("")
    page.get_by_label("number input for Share held out").fill("")
    page.get_by_role("button", name="Look at the data").click()
    page.locator(".hs-alert", has_text="no data yet").wait_for()
    page.get_by_label("Seed").fill("-4")
    start_button(page).click()
    page.locator(".toast-body", has_text="Seed: must be at least 0; got -4").wait_for()
    turn_to(page, "Convolution")
    page.locator("#convolved img").nth(1).wait_for()
    page.get_by_label("Divided by").fill("")
    page.get_by_label("number input for Stride").fill("")
    page.get_by_label("number input for Dilation").fill("2")
    page.locator("#convolved p", has_text="With 2 px of padding").wait_for()
    assert page.locator(".hs-alert:visible").count() == 0


def test_page__takes_the_classes_from_where_it_is_told(
    visit: Callable[..., Any], make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    for patient in ("p1", "p2"):
        make_photos(tmp_path / "scans" / patient)
    page = visit()
    folder_field(page).fill(str(tmp_path / "scans"))
    look = page.get_by_role("button", name="Look at the data")
    look.click()
    page.locator(".hs-alert", has_text="“Folders that name the classes” inner").wait_for()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Folders that name the classes").click()
    page.get_by_role("option", name="inner").click()
    look.click()
    page.locator("p", has_text="Classes: 'lying', 'standing'.").wait_for()
    pattern = page.get_by_label("What groups pictures, as a pattern in their names")
    pattern.fill("(")
    look.click()
    page.locator(".hs-alert", has_text="“What groups pictures").wait_for()
    pattern.fill(r"\d+\.png")
    look.click()
    page.locator("p", has_text="8 groups").wait_for()


def test_page__hostile_names_stay_text(
    visit: Callable[..., Any], photos: Path, tmp_path: Path
) -> None:
    attack = "<img src=x onerror=document.title=1>"
    root = shutil.copytree(photos, tmp_path / attack)
    (root / "lying").rename(root / attack)
    page = visit()
    page.goto(f"{page.url}?job={attack}")
    arrived(page)
    folder_field(page).fill(str(root))
    page.get_by_role("button", name="Look at the data").click()
    page.get_by_text("16 images, 2 classes").wait_for()
    folder_field(page).fill(f"{tmp_path}/none{attack}")
    page.wait_for_timeout(1_500)  # the choices follow what is typed
    page.get_by_label("Open a folder or a table inside it").click()
    page.get_by_role("option", name=".. (one up)").click()
    sync_api.expect(folder_field(page)).to_have_value(str(tmp_path))
    folder_field(page).fill("~nobody-here/photos")
    page.get_by_role("button", name="Look at the data").click()
    page.locator(".hs-alert", has_text="nobody-here").wait_for()
    assert page.title() == "Headstart"
    assert page.locator("img[src=x]").count() == 0


def test_page__tabs_are_equally_wide_and_nothing_is_cut_or_stacked(
    visit: Callable[..., Any], layout_faults: Callable[[Any], list[str]], tmp_path: Path
) -> None:
    picture = tmp_path / "a_picture_with_a_name_that_is_far_too_long_for_a_phone.png"
    Image.new("RGB", (64, 64), "orange").save(picture)
    page, faults = visit(), []
    widths: dict[int, set[int]] = {390: set(), 1280: set(), 1920: set()}
    for name in ("Train", "Live", "Predict", "Layers", "Convolution", "Augment", "Compare"):
        turn_to(page, name)
        if name == "Predict":
            drop(page, picture)
            page.locator(".hs-card .hs-bars tr").nth(5).wait_for()
        if name == "Convolution":
            page.get_by_label("Side of the kernel").click()
            page.get_by_role("option", name="9").click()
            page.locator("#kernel input").nth(80).wait_for()
        for width, seen in widths.items():
            page.set_viewport_size({"width": width, "height": 900})
            seen.add(page.evaluate("document.querySelector('main').offsetWidth"))
            faults += [f"{name} at {width} px: {fault}" for fault in layout_faults(page)]
            if name == "Convolution":
                grid, picture_field = (
                    page.locator(place).bounding_box()
                    for place in ("#kernel", "#convolution-picture")
                )
                inputs = page.locator("#kernel input").last.bounding_box()
                assert inputs["x"] + inputs["width"] <= grid["x"] + grid["width"]
                is_beside = grid["x"] + grid["width"] <= picture_field["x"]
                assert is_beside or grid["y"] + grid["height"] <= picture_field["y"]
    assert [len(seen) for seen in widths.values()] == [1, 1, 1], widths
    assert faults == []


@pytest.mark.slow
def test_page__a_first_visit_drops_a_zip_starts_and_looks_around(
    visit: Callable[..., Any], archive: Path, photos: Path, grave: Grave
) -> None:
    page = visit()
    drop(page, archive)
    start_button(page).click()
    page.wait_for_url("**/?job=*")
    page.reload()  # the job goes on, and the page finds it again
    assert "test images" in answer(page)
    assert grave(page) == []

    turn_to(page, "Predict")
    drop(page, photos / "lying" / "3.png")
    page.locator(".hs-card .hs-bars tr").nth(4).wait_for()
    page.get_by_label("Classes of").click()
    page.get_by_role("option", name="stripes").click()
    page.locator(".hs-near img").nth(5).wait_for()
    assert page.locator(".hs-bars tbody th").first.inner_text() == "lying"
    page.locator('img[alt^="Where the evidence for lying lies"]').wait_for()
    assert grave(page) == []

    turn_to(page, "Layers")
    page.get_by_label("Layer map of the run").click()
    page.get_by_role("option", name="stripes").click()
    page.locator("#profile svg").wait_for()
    drop(page, photos / "lying" / "3.png")
    page.locator("#maps img").wait_for()
    assert grave(page) == []

    turn_to(page, "Augment")
    page.get_by_role("button", name="Draw").click()
    page.locator("#drawn img").wait_for()
    before = page.locator("#mixed img").get_attribute("alt")
    page.get_by_label("Mixup").first.fill("0.25")
    page.locator('#mixed img[alt*="0.25 temple"]').wait_for()
    assert "0.70 temple" in str(before)
    assert grave(page) == []

    turn_to(page, "Compare")
    page.get_by_role("button", name="Compare").click()
    page.locator(".hs-alert", has_text="two or more").wait_for()
    assert grave(page) == []


@pytest.mark.slow
def test_page__two_tabs_do_not_disturb_each_other_and_a_job_is_cancelled(
    visit: Callable[..., Any], make_photos: Callable[..., Path], tmp_path: Path, grave: Grave
) -> None:
    one, two = visit(scheme="dark"), visit(390, 844)
    for page, name in ((one, "first"), (two, "second")):
        folder_field(page).fill(str(make_photos(tmp_path / name, n=150)))
        start_button(page).click()
        page.locator("#job", has_text=name).wait_for()
    assert "first" in one.locator("#job h2").inner_text()
    two.get_by_role("button", name="Cancel this job").click()
    two.locator("#job .hs-state.stopped").wait_for()
    one.get_by_role("button", name="Cancel this job").click()
    one.locator("#job .hs-state.stopped").wait_for()
    assert "first" in one.locator("#job h2").inner_text()
    assert grave(one) == []
    width = two.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "the page is wider than the phone"
    assert grave(two) == []
