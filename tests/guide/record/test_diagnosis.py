"""Exercises whose service runs, with symptoms: started, ended, cause and fix judged."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from types import SimpleNamespace

import httpx
import pytest

from lab import ROOT, SNIPPETS, GuideError
from lab.check import content
from lab.record import diagnosis, notebook
from lab.run import process, services

ALL = [key for key, files in content.read().exercises.items() if "symptoms.md" in files]
ONE = "resilience/shutdown-loses-work"
FOLDER = SNIPPETS / "resilience/exercises/shutdown-loses-work"
FOUND = {
    "place": "the array `waiting`, in memory",
    "event": "stopping",
    "order": "ledger.close() before the batch is written",
    "missing": "await",
}
# what else finds it, and what does not, a line at a time
VARIANTS = {
    "place": ["buffer", "In the process's memory", "`waiting`", "the batch"],
    "event": ["`stopping`", "the 'stopping' event"],
    "order": [
        "process.exit before flush",
        "the flush ends after the ledger is closed",
        "the write is not finished before the process exits",
        "closing the ledger before writing",
    ],
    "missing": [
        "nobody awaits the flush",
        "waiting for the promise",
        "emit drops promises",
    ],
}
WRONG = {
    "place": ["the ledger", "socket", "waiting, ledger, socket", "request in flight"],
    "event": ["SIGTERM", "close", "stopping or SIGTERM"],
    "order": ["flush before close", "server closes before requests are answered"],
    "missing": ["a try/catch", "readiness", "await, catch, timeout, retry"],
}
# the other diagnoses: what finds the cause, by line, and what does not
OTHERS = {
    "databases/all-connections-busy": {
        "resource": (
            ["connections", "clients of the pool", "database connections"],
            ["memory", "the CPU", "sockets", "stock"],
        ),
        "request": (
            ["409", "orders of what is sold out", "a conflict"],
            ["201", "503", "requests for healthz", "slow requests"],
        ),
        "state": (
            ["idle in transaction", "`idle in transaction`"],
            ["active", "waiting for a lock", "disabled"],
        ),
        "missing": (
            ["client.release()", "finally", "it is not released"],
            ["ROLLBACK", "a timeout", "an index", "catch"],
        ),
    },
}


@pytest.mark.parametrize("exercise", OTHERS)
def test_a_cause_is_found_in_its_words_and_in_no_others(exercise, tmp_path):
    topic, name = exercise.split("/")
    words = OTHERS[exercise]
    right = {line: accepted[0] for line, (accepted, _) in words.items()}

    def told(**answers: str) -> str:
        form = tmp_path / "cause.md"
        lines = (f"{line}: {answer}\n" for line, answer in (right | answers).items())
        form.write_text("".join(lines))
        return diagnosis.judge(topic, name, form)

    assert set(OTHERS) == {key for key in ALL if key != ONE}
    for line, (accepted, refused) in words.items():
        assert [one for one in accepted if told(**{line: one})] == []
        assert [one for one in refused if not told(**{line: one})] == []


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Where the learner works: a folder of its own, with what a first start copies."""
    monkeypatch.setattr(notebook, "WORK", tmp_path)
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    folder = tmp_path / ONE
    diagnosis.copy(*ONE.split("/"), folder)
    return folder


def filled(work, **answers):
    """The learner's form with these answers."""
    form = work / "cause.md"
    shutil.copyfile(FOLDER / "cause.md", form)
    text = form.read_text()
    for name, answer in answers.items():
        text = text.replace(f"\n{name}:\n", f"\n{name}: {answer}\n")
    form.write_text(text)
    return form


def judged(work, **answers) -> str:
    return diagnosis.judge(*ONE.split("/"), filled(work, **answers))


@pytest.mark.parametrize("exercise", ALL)
def test_every_form_asks_what_its_solution_answers_and_is_empty(exercise):
    topic, name = exercise.split("/")
    folder = SNIPPETS / topic / "exercises" / name
    asked = diagnosis.lines((folder / "cause.md").read_text())
    answered = diagnosis.lines((folder / "solution.md").read_text())
    assert list(asked) == list(answered) and len(asked) >= 3
    assert not any(asked.values()) and all("/" in line for line in answered.values())
    told = diagnosis.judge(topic, name, folder / "cause.md")
    assert told == f"not filled in: {', '.join(asked)}"
    assert "{url}" in (folder / "symptoms.md").read_text()


def test_the_cause_is_found_in_other_words_too(work):
    assert judged(work, **FOUND) == ""
    for name, answers in VARIANTS.items():
        for answer in answers:
            assert judged(work, **FOUND | {name: answer}) == "", answer


def test_a_wrong_line_is_enough_and_is_not_named(work):
    for name, answers in WRONG.items():
        for answer in answers:
            told = judged(work, **FOUND | {name: answer})
            assert told == "that is not what happens", answer


def test_what_is_empty_endless_or_not_understood_is_named(work):
    assert judged(work, **FOUND | {"event": ""}) == "not filled in: event"
    told = judged(work, **FOUND | {"event": "frobnication"})
    assert "not understood" in told and told.endswith(": event")
    many = "buffer memory heap array queue batch waiting ram list store cache"
    assert judged(work, **FOUND | {"place": many}).endswith("in a few words: place")


def test_what_is_told_and_copied_holds_no_answer():
    told = (FOLDER / "symptoms.md").read_text() + (FOLDER / "cause.md").read_text()
    for word in ("stopping", "emit", "await", "flush"):
        assert word not in told


@pytest.mark.parametrize(
    ("fix", "found", "not_found"),
    [
        ("solution", "found and fixed: done — snippets/.*/solution.md",
         "it is fixed, and the cause is not named yet"),
        ("start", "the cause is found, and not fixed yet", "neither found nor fixed yet"),
    ],
)  # fmt: skip
def test_cause_and_fix_are_told_apart(work, monkeypatch, fix, found, not_found):
    text = (FOLDER / f"{fix}.mjs").read_text()
    text = text.replace("'../../", f"'{SNIPPETS.as_uri()}/resilience/")
    (work / "service.mjs").write_text(text)
    lines, held = notebook._fix(ONE, work / "service.mjs", FOLDER / "symptoms.md")
    assert held == [True, *(len(held) - 1) * [fix == "solution"]]
    # the checks take a quarter of a minute, so they run once
    monkeypatch.setattr(notebook, "_fix", lambda *_: ([*lines], held))
    for answers, end in ((FOUND, found), (FOUND | {"event": "SIGTERM"}, not_found)):
        filled(work, **answers)
        assert re.fullmatch(end, notebook.check(ONE).splitlines()[-1])


def test_half_a_fix_is_none(work):
    """It awaits its own flush, and not the one that the timer has begun."""
    text = (FOLDER / "start.mjs").read_text()
    half = text.replace("lifecycle.emit('stopping');", "await flush();")
    assert half != text
    (work / "service.mjs").write_text(half)
    told, held = notebook._fix(ONE, work / "service.mjs", FOLDER / "symptoms.md")
    assert not all(held) and any(held[1:])
    assert "  ✗ so is a batch that is being written when the signal comes" in told


def test_a_service_that_does_not_start_is_said_to_be_so(work):
    (work / "service.mjs").write_text("const = 1;")
    filled(work, **FOUND)
    told = notebook.check(ONE)
    assert "it does not start, so nothing was checked" in told and "SyntaxError" in told
    assert told.endswith("the cause is found, and not fixed yet")


def test_what_is_missing_says_how_to_get_it(work):
    (work / "cause.md").write_text("place: buffer\n")
    with pytest.raises(GuideError, match="has no line `event:`"):
        notebook.check(ONE)
    (work / "cause.md").unlink()
    with pytest.raises(GuideError, match="no such file — `make exercise E=.*copies it"):
        notebook.check(ONE)
    (work / "service.mjs").unlink()
    with pytest.raises(GuideError, match="no such file — `make exercise E=.*starts it"):
        notebook.check(ONE)


# --- it runs --------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from lab.record import diagnosis
work = Path(sys.argv[1])
diagnosis.copy("resilience", "shutdown-loses-work", work)
print("ended with", diagnosis.run("resilience", "shutdown-loses-work", work))
"""


@contextlib.contextmanager
def running(work):
    """The service in the foreground of another Python: its process, and what it says."""
    log = work / "log"
    with log.open("wb") as out:
        argv = [sys.executable, "-c", RUN, str(work)]
        child, token = process.start(argv, cwd=ROOT, stdout=out, stderr=out)
        try:
            process.until(lambda: "with process id" in log.read_text(), 60, "it runs")
            yield child, token, log.read_text
        finally:
            process.end(child, token, grace=0)


def test_it_is_started_with_its_symptoms_and_a_deploy_loses_orders(work):
    with running(work) as (child, _, said):
        pid = int(re.search(r"process id (\d+)", said())[1])
        url = re.search(r"listening on (\S+)", said())[1]
        assert f"{url}/orders" in said() and "{" not in said()
        assert httpx.post(f"{url}/orders/1").status_code == 202
        os.kill(pid, signal.SIGTERM)
        process.until(lambda: child.poll() is not None)
        assert said().endswith("ended with 0\n")
    assert (work / "data" / "ledger").read_text() == ""


def test_ctrl_c_ends_the_service_in_order(work):
    with running(work) as (child, token, said):
        os.kill(child.pid, signal.SIGINT)
        process.until(lambda: child.poll() is not None, 60, "it ends")
        assert '"left"' in said() and said().endswith("ended with None\n")
        assert not process.survivors(token)


def test_nothing_is_left_when_the_command_is_killed(work):
    with running(work) as (child, token, _):
        os.kill(child.pid, signal.SIGKILL)
        process.until(lambda: not process.survivors(token))


def test_a_taken_port_and_a_broken_service_are_told(work, capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GuideError, match=f"port {port}: is taken — leave PORT out"):
            notebook.start(ONE, port)
    (work / "service.mjs").write_text("const = 1;")
    with pytest.raises(GuideError, match=r"service.mjs: ended with 1 before it listened"):
        notebook.start(ONE)
    assert "SyntaxError" in capfd.readouterr().out


def test_what_a_service_needs_is_started_with_it_and_ended(tmp_path, monkeypatch, capfd):
    ended = []

    @contextlib.contextmanager
    def postgres():
        try:
            yield SimpleNamespace(url="postgresql://played")
        finally:
            ended.append(True)

    monkeypatch.setattr(diagnosis, "SNIPPETS", tmp_path)
    monkeypatch.setattr(services, "postgres", postgres)
    folder = tmp_path / "demo/exercises/pool"
    folder.mkdir(parents=True)
    start = "// needs: postgres\nconsole.log(process.env.DATABASE_URL);"
    (folder / "start.mjs").write_text(start)
    (folder / "cause.md").touch()
    diagnosis.copy("demo", "pool", tmp_path / "work")
    with pytest.raises(GuideError, match="ended with 0 before it listened"):
        diagnosis.run("demo", "pool", tmp_path / "work")
    assert capfd.readouterr().out == "postgresql://played\n" and ended


def test_an_exercise_that_is_not_there_is_told():
    with pytest.raises(GuideError, match="exercise 'jwt/nope': not there — choose from"):
        notebook.start("jwt/nope")
