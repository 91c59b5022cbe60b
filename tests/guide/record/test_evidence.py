"""Evidence and figures: held to bounds, written only on request, and what they owe."""

import json
import random
import re

import pytest

from lab import GuideError
from lab.record import evidence, figure
from lab.run import locks


def test_a_value_is_held_to_its_bounds(monkeypatch, tmp_path):
    monkeypatch.setenv(evidence.RECORD, str(tmp_path))
    with pytest.raises(
        GuideError, match="t: demo/x is 3 ×, must be above 3 .n=3, 2 to 9"
    ):
        evidence.hold("demo/x", [2, 3, 9], "×", "w", source="t", above=3)
    with pytest.raises(GuideError, match="must be below 3"):
        evidence.hold("demo/x", 3, "×", "w", source="t", below=3)
    with pytest.raises(GuideError, match="not a measurement"):
        evidence.hold("demo/x", [float("nan")], "×", "w", source="t")
    with pytest.raises(GuideError, match="not of the form topic/name"):
        evidence.hold("Demo x", 1, "×", "w", source="t")
    assert not list(tmp_path.rglob("*.json"))


def test_nothing_is_written_unless_it_is_asked_for(monkeypatch, tmp_path):
    monkeypatch.delenv(evidence.RECORD, raising=False)
    monkeypatch.chdir(tmp_path)
    assert evidence.hold("demo/x", 4, "×", "w", source="t", above=3) == 4
    assert not list(tmp_path.rglob("*"))


def test_publishing_replaces_a_topic_as_a_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "STAGING", tmp_path / "staged")
    monkeypatch.setattr(evidence, "EVIDENCE", tmp_path / "evidence")
    monkeypatch.setenv(evidence.RECORD, str(tmp_path / "staged"))
    (tmp_path / "evidence" / "demo").mkdir(parents=True)
    (tmp_path / "evidence" / "demo.json").write_text('{"old": {}}')
    (tmp_path / "evidence" / "demo" / "old.svg").write_text("<svg/>")
    evidence.hold("demo/x", [4, 5, 6], "ms", "a lag", source="t", above=3)
    evidence.figure("demo/plot", "<svg/>", "alt", {"x": (1, 2)}, source="t")
    evidence.publish(["demo"])
    entries = json.loads((tmp_path / "evidence" / "demo.json").read_text("utf-8"))
    assert set(entries) == {"x", "plot"}
    assert entries["x"]["value"] == 5 and entries["x"]["spread"] == [4, 6]
    assert entries["x"]["versions"]["node"] == locks.versions()["node"]
    assert [p.name for p in (tmp_path / "evidence" / "demo").iterdir()] == ["plot.svg"]


def test_values_are_shown_with_three_digits_and_their_unit():
    def shown(value, unit):
        return evidence.shown({"value": value, "unit": unit})

    assert shown(448.53, "ms") == "449 ms"
    assert shown(6.799, "ms") == "6.8 ms"
    assert shown(65.97, "×") == "66×"
    assert shown(12345.0, "requests") == "12\N{NARROW NO-BREAK SPACE}345 requests"


def test_a_figure_owes_a_text_alternative_and_a_bounded_size():
    drawing, axes = figure.plot()
    axes.plot(range(3))
    with pytest.raises(GuideError, match="demo/x: the text alternative has 5 characters"):
        figure.publish("demo/x", drawing, "short", {}, source="t")
    for value in (20, "20"):
        message = f"demo/x: the data of 'naive' is {value!r} — give each column a list"
        with pytest.raises(GuideError, match=message):
            figure.publish("demo/x", drawing, "t" * 40, {"naive": value}, source="t")
    drawing, axes = figure.plot()
    rng = random.Random(1)
    axes.plot([rng.random() for _ in range(20_000)], ".")
    with pytest.raises(GuideError, match=r"demo/x: \d+ bytes of gzipped SVG, at most"):
        figure.render("demo/x", drawing, "what it shows")


def test_figures_take_their_colours_from_the_page_and_share_no_ids():
    texts = []
    for name in ("demo/a", "demo/b"):
        drawing, axes = figure.plot()
        axes.plot(range(3))
        texts.append(figure.render(name, drawing, "what it shows"))
    assert "var(--pn-1, #0072b2)" in texts[0] and "var(--pn-ink" in texts[0]
    assert "<style" not in texts[0] and "#123456" not in texts[0]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert ids[0] and not ids[0] & ids[1]


def test_code_that_changed_keeps_a_record_that_still_says_the_same(tmp_path, monkeypatch):
    def measure(above, code):
        (tmp_path / "t.py").write_text(f"hold('demo/x', above=3)  # {code}\n{code}\n")
        evidence.hold("demo/x", [4, 5, 6], "ms", "a lag", source="t.py", above=above)

    def recorded():
        return json.loads((tmp_path / "evidence" / "demo.json").read_text("utf-8"))["x"]

    for name in ("ROOT", "STAGING", "EVIDENCE", "FRESHLY"):
        folder = "" if name == "ROOT" else name.lower()
        monkeypatch.setattr(evidence, name, tmp_path / folder)
    monkeypatch.setenv(evidence.RECORD, str(tmp_path / "staging"))
    measure(3, "hold(1)")
    evidence.publish(["demo"])
    first = recorded()
    monkeypatch.delenv(evidence.RECORD)
    monkeypatch.setenv(evidence.FRESH, str(tmp_path / "freshly"))
    assert not evidence.recording()
    measure(3, "hold('demo/x')")
    assert evidence.refresh("demo") == (["x"], [])
    second = recorded()
    assert second == {**first, "code": second["code"], "seal": second["seal"]}
    assert first["code"] != second["code"] and first["seal"] != second["seal"]
    measure(2, "hold('demo/x', 2)")  # another bound is another record
    assert evidence.refresh("demo") == ([], ["x"])
    assert recorded() == second
    edited = json.dumps({"x": {**second, "value": 5.5}})
    (tmp_path / "evidence" / "demo.json").write_text(edited)
    measure(3, "hold('demo/x', 3)")
    assert evidence.refresh("demo") == ([], [])
