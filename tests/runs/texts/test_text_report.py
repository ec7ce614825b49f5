"""The report of a run on texts: whole, harmless, and of texts."""

from __future__ import annotations

import json
import re
from math import nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from headstart.data.texts import make_record
from headstart.results import encode
from headstart.runs.report import render
from headstart.runs.result import metrics_from
from headstart.runs.text_findings import size_curves
from headstart.sources.text import AVERAGE, BOTH, TextSource


def test_render__speaks_of_texts(text_run) -> None:
    html = (text_run.folder / "report.html").read_text()
    body = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)
    assert "test texts put in the right class" in body
    assert "What gives each class away" in body
    assert not re.search(r"\b(images?|pictures?|pixels?|px)\b", re.sub(r"<[^>]+>", " ", body))


def test_render__loads_nothing_and_escapes_everything(text_run) -> None:
    evil = "<script>alert(1)</script>"
    metrics = json.loads(encode(text_run.metrics))
    metrics["mistakes"] = [
        {"name": "line 2", "digest": "d", "text": evil, "true": evil, "predicted": "b", "probability": 0.9}
    ]  # fmt: skip
    metrics["suspicious"] = [
        {"name": "line 2", "digest": "d", "text": evil, "label": evil, "suggested": "b",
         "probability": 0.9, "split": "train"}
    ]  # fmt: skip
    metrics["text"]["telling_terms"] = [
        {"class": evil, "terms": [{"term": evil, "score": 1.0, "n_texts": 2}]}
    ]
    metrics["text"]["verdict"] = evil
    html = render(msgspec.to_builtins(text_run.provenance), metrics_from(metrics), {})
    assert evil not in html
    assert html.count("<script>") == 1
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", html)


def test_render__without_networks_curves_or_test(text_run) -> None:
    metrics = json.loads(encode(text_run.metrics))
    metrics["text"] |= {"layers": None, "curves": [], "telling_windows": None}
    metrics["mistakes"] = metrics["suspicious"] = []
    html = render(msgspec.to_builtins(text_run.provenance), metrics_from(metrics), {})
    assert "Layers, and more texts" not in html


def test_size_curves__leaves_out_what_ridge_classifiers_ruled_out(tmp_path: Path) -> None:
    records = [
        make_record(f"a {word} film {i}", label, f"line {i}")
        for i in range(40)
        for word, label in (("good", "+"), ("bad", "-"))
    ]
    source = TextSource(
        train=records,
        embeddings=None,
        encoder=None,
        cache=tmp_path,
        device="cpu",
        progress=lambda stage, done, total: None,
    )
    counted = SimpleNamespace(blocks=BOTH, scores=SimpleNamespace(C=1.0, is_screened=False))
    ruled_out = SimpleNamespace(blocks=AVERAGE, scores=SimpleNamespace(C=nan, is_screened=True))
    results: Any = SimpleNamespace(test=records[:20], candidates=[counted, ruled_out])
    assert [curve.name for curve in size_curves(results, source)] == [BOTH.tap_label]
