"""Safe in company: every exported factory is put into an impolite world.

`company/world.mjs` plays it: dependencies that throw, reject, reject with nothing or
never settle; clients that reset, close half, send what is not JSON or a path such as
`//`; no address; two of it in one process; text where a number is meant. Meanwhile the
process must live, answer, let nobody in, hold nothing of clients that are gone, and
afterwards be as it was; in the end it must end by itself. `tests/topics/<topic>/company.mjs`
says how each factory is used politely. A new export needs a recipe there, or a reason."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from lab import ROOT, SNIPPETS
from lab.check import content
from lab.run import node

WORLD = Path(__file__).with_name("company") / "world.mjs"
NAME = re.compile(r"[\w./-]+#\w+")
WITHOUT = "export const without = {"
EXPORT = re.compile(
    r"^export (?:default )?(?:async )?(?:function\*? (\w+)|const (\w+) =\s+(?:async )?\()",
    re.MULTILINE,
)


@cache
def exports() -> set[str]:
    """Each exported function of a module that is not naive, as `file#name`."""
    found = set()
    for path, snippet in content.read().snippets.items():
        name = path.removeprefix("snippets/")
        if snippet.naive or not name.endswith(".mjs"):
            continue
        for function in EXPORT.finditer((SNIPPETS / name).read_text("utf-8")):
            found.add(f"{name}#{function[1] or function[2]}")
    return found


def book(topic: str) -> Path:
    """Where a topic's recipes stand."""
    return ROOT / "tests" / "topics" / topic / "company.mjs"


@cache
def recipes(topic: str) -> list[str]:
    """The exports that a topic's file has a recipe for."""
    played = book(topic).read_text("utf-8").split(WITHOUT)[0]
    return re.findall(r"^  '([\w./-]+#\w+)': ", played, re.MULTILINE)


def excused(topic: str) -> list[str]:
    """The exports that a topic's file has a reason for."""
    return NAME.findall(book(topic).read_text("utf-8").partition(WITHOUT)[2])


def of_topic(*values):
    """A parameter that runs with its topic: its last value."""
    return pytest.param(*values, marks=pytest.mark.topic(values[-1]))


# topics, and whatever else has exports or recipes
TOPICS = sorted(
    {*content.read().topics, *(name.split("/")[0] for name in exports())}
    | {path.parent.name for path in (ROOT / "tests" / "topics").glob("*/company.mjs")}
)


@pytest.mark.parametrize("topic", [of_topic(t) for t in TOPICS])
def test_every_export_is_played_with_or_says_why_not(topic):
    where = book(topic).relative_to(ROOT)
    listed = [*recipes(topic), *excused(topic)] if book(topic).exists() else []
    assert sorted(listed) == sorted(set(listed)), f"{where}: something is listed twice"
    wanted = {name for name in exports() if name.startswith(f"{topic}/")}
    missing = sorted(wanted - set(listed))
    assert not missing, (
        f"{where}: no recipe says how {', '.join(missing)} is used, so nothing tries it "
        "with callbacks that fail and clients that leave — add a recipe (its parts are "
        "said in tests/guide/company/world.mjs), or a reason in `without`"
    )
    gone = sorted(set(listed) - wanted)
    assert not gone, f"{where}: {', '.join(gone)} is exported by nothing — delete it"


@pytest.mark.parametrize(
    "name, topic",
    [of_topic(name, t) for t in TOPICS if book(t).exists() for name in recipes(t)],
)
def test_it_is_safe_in_company(name, topic):
    assert faults(name) == []


def faults(*args: str) -> list[str]:
    """What the world found, each as `phase: what`."""
    # on Node 22 Express asks url.parse() about a target such as *, which is deprecated
    flags = ("--no-deprecation",)
    done = node.run(WORLD, *args, flags=flags, timeout=250)
    told = json.loads(done.stdout.splitlines()[-1])
    assert "polite" in told["phases"]
    return told["faults"]


# --- the world itself ----------------------------------------------------------------

CLEAN = """
export function clean({ authenticate, signal, limit = 1 }) {
  if (!Number.isInteger(limit) || limit < 1) throw new TypeError('limit: no number');
  const timer = setInterval(() => {}, 1000);
  signal.addEventListener('abort', () => clearInterval(timer));
  return async (req, res) => {
    req.on('error', () => {});
    req.resume();
    const user = await asked(authenticate, req).catch(() => null);
    res.writeHead(user ? 204 : 401).end();
  };
}
const asked = async (authenticate, req) => authenticate(req);
"""
# what is changed in it, and what the world must say
PLANTED = {
    "not awaited": (
        "await asked(authenticate, req).catch(() => null)",
        "authenticate(req)",
        "authenticate says no, later: GET / is let in, with 204",
    ),
    "caught by nobody": (
        "await asked(authenticate, req).catch(() => null)",
        "await authenticate(req)",
        "authenticate rejects: unhandledRejection, which ends the process",
    ),
    "no listener": (
        "req.on('error', () => {});",
        "req.socket.once('close', () => { throw new Error('gone'); });",
        "uncaughtException, which ends the process: Error: gone",
    ),
    "left running": ("clearInterval(timer)", "{}", "end: left running: "),
    "no address": (
        "req.resume();",
        "req.resume(); if (!req.socket.remoteAddress) return res.writeHead(500).end();",
        "no address: without an address the answers are 500",
    ),
    "two slashes": (
        "req.resume();",
        "req.resume(); if (req.url === '//') return res.writeHead(500).end();",
        "impolite clients: GET // is answered with 500",
    ),
    "stuck": (
        "res.writeHead(user ? 204 : 401).end();",
        "clean.down ||= !user; res.writeHead(clean.down ? 401 : 204).end();",
        "afterwards the polite use gives 401, 401, and not 204, 204",
    ),
    "text": ("!Number.isInteger(limit)", "Number.isNaN(limit)", "string 5 is taken"),
    "held": (
        "const user =",
        "if (req.method === 'POST') await new Promise(() => {}); const user =",
        "polite: the polite use goes wrong: 204, silent",
    ),
}
BOOK = """
export const recipes = {
  'PATH#clean': {
    deps: () => ({ authenticate: () => ({ id: 'ann' }) }),
    requests: [
      { status: 204, asks: 'authenticate' },
      { method: 'POST', body: '{}', status: 204 },
    ],
    numbers: { limit: 5 },
    patience: 1000,
  },
};
"""


def planted(tmp_path, text: str) -> list[str]:
    (tmp_path / "clean.mjs").write_text(text, "utf-8")
    book = tmp_path / "book.mjs"
    book.write_text(BOOK.replace("PATH", str(tmp_path / "clean.mjs")), "utf-8")
    return faults(f"{tmp_path / 'clean.mjs'}#clean", str(book))


def test_the_world_has_nothing_to_say_of_what_is_clean(tmp_path):
    assert planted(tmp_path, CLEAN) == []


@pytest.mark.parametrize("name", PLANTED)
def test_the_world_finds_a_planted_fault(tmp_path, name):
    right, wrong, message = PLANTED[name]
    assert CLEAN.count(right) == 1
    found = planted(tmp_path, CLEAN.replace(right, wrong))
    assert any(message in one for one in found), found
