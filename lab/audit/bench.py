"""What our own parts cost, as ratios: of the site's build, of the tests of the
snippets, and of the wait between an edit and the page that shows it.

Both sides of a ratio are measured in one run, in turn (ours, the other, ours, the
other …), so that a machine that slows down slows both. The pages are built in a copy
of the guide, so nothing here is touched and an edit elsewhere disturbs nothing.
"""

import contextlib
import os
import re
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import IO

import httpx
import psutil
import yaml
from mkdocs.utils.yaml import yaml_load

from lab import EXECUTED, NOTEBOOKS, ROOT, GuideError
from lab.check import content
from lab.publish import convert, remember
from lab.publish.builder import MKDOCS, QUIET
from lab.run import node, outputs, process, services

BUILD_TARGET = 1.5  # times plain MkDocs: a build with notebooks that did not change
COLD_TARGET = 2.0  # the same with nothing kept from a build before
RELOAD_TARGET = 1.0  # an edit to the reloaded page
PLAIN = (sys.executable, "-m", "mkdocs")
LOOK = 0.5  # seconds between two looks of `mkdocs serve` for changes
SETTLE = 1.0  # seconds to wake up, a whole number of LOOKs
LIMIT = 180  # seconds that one pass, or one wait, may take

# what a build leaves for the next one, below build/
KEPT = tuple(path.name for path in (convert.KEPT, convert.TEMPLATES, remember.TEMPLATES))
_CONFIG, _PLAIN = "mkdocs.yml", "mkdocs.plain.yml"
_LEFT_OUT = (".*", "node_modules", "build", "site", "work", "__pycache__")
_RELOAD = re.compile(r"livereload\((\d+), (\d+)\)")


class BenchError(GuideError):
    """A pass failed, so there is nothing to compare."""


@dataclass(frozen=True)
class Cost:
    """What one pass took, in seconds: on the clock, and of processor time."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """Ours against another way, round by round; `target` bounds the median on
    the clock."""

    name: str
    holds: str
    other: str
    ours: list[Cost]
    base: list[Cost]
    target: float | None = None

    def of(self, clock: str) -> list[float]:
        """Ours divided by the other, each round's own, by "wall" or "cpu"."""
        return [
            getattr(ours, clock) / getattr(base, clock)
            for ours, base in zip(self.ours, self.base, strict=True)
        ]

    @property
    def missed(self) -> bool:
        """Whether the median is above its target."""
        return self.target is not None and median(self.of("wall")) > self.target


def run(rounds: int) -> bool:
    """Measure and print each ratio over `rounds` rounds; True unless a declared
    target was missed. Raises BenchError when a pass fails."""
    load = os.getloadavg()[0]
    print(
        f"bench: {rounds} rounds each, after one that is not counted; medians, with the "
        f"lowest and the highest; {os.cpu_count()} cores, load {load:.1f} at the start",
        flush=True,
    )
    missed = []
    with process.directory("bench") as folder:
        guide = copy(folder / "guide")
        for measure in (build, snippets, reload):
            for ratio in measure(guide, rounds):
                print(f"\n{report(ratio)}", flush=True)
                missed += [ratio.name] if ratio.missed else []
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nno target was missed")
    return not missed


def report(ratio: Ratio) -> str:
    """A ratio as text: what it holds, both sides, and the ratio, by both clocks."""
    lines = [f"{ratio.name}: {_spread(ratio.of('wall'), '×')}", f"  {ratio.holds}"]
    for clock, name in (("wall", "clock"), ("cpu", "CPU")):
        ours, base = (
            _spread([getattr(cost, clock) for cost in side], " s")
            for side in (ratio.ours, ratio.base)
        )
        lines.append(
            f"  {name:5}  ours {ours}, {ratio.other} {base}, "
            f"ratio {_spread(ratio.of(clock), '×')}"
        )
    if ratio.target is not None:
        verdict = "missed" if ratio.missed else "held"
        lines.append(f"  target at most {ratio.target:g}× by the clock: {verdict}")
    return "\n".join(lines)


# --- the three measurements -------------------------------------------------------


def build(guide: Path, rounds: int) -> Iterator[Ratio]:
    """`mkdocs build` of the copy, as it is and plain: when the notebooks did not change
    since the last build, and when nothing is left of one."""

    def side(config: str, command: Sequence[str], cold: bool = False):
        out = guide / "build" / config
        argv = [*command, "build", "--config-file", config, "--site-dir", out]

        def once() -> Cost:
            if cold:
                for kept in KEPT:
                    shutil.rmtree(guide / "build" / kept, ignore_errors=True)
            return timed(argv, guide, **_env(guide))

        return once

    books = len(list(NOTEBOOKS.glob("*.ipynb")))
    executed = len(list(EXECUTED.glob("*.ipynb")))
    for name, cold, target in (
        ("site build", False, BUILD_TARGET),
        ("site build, with nothing kept from an earlier one", True, COLD_TARGET),
    ):
        ours, base = interleave(side(_CONFIG, MKDOCS, cold), side(_PLAIN, PLAIN), rounds)
        claims = guide / "build" / _PLAIN / f"topics/{_topic()}/claims/index.html"
        check_plain(claims.read_text("utf-8"))
        yield Ratio(
            name,
            f"the whole process: start, imports, {len(content.read().pages)} pages; ours "
            f"also {books} notebooks, {executed} of them with results",
            "plain MkDocs",
            ours,
            base,
            target=target,
        )


def snippets(guide: Path, rounds: int) -> Iterator[Ratio]:
    """The tests that run every program, against Node itself."""
    programs = outputs.programs()
    coverage = guide / "build" / "coverage"

    def tests() -> Cost:
        # with coverage, as `make test` runs them
        shutil.rmtree(coverage, ignore_errors=True)
        coverage.mkdir(parents=True)
        argv = [
            sys.executable, "-m", "pytest", "-q", "tests/guide/test_snippets.py",
            "-k", "prints_what_is_recorded",
        ]  # fmt: skip
        return timed(argv, ROOT, **{node.COVERAGE: str(coverage)})

    def bare() -> Cost:
        empty = [node.binary(), "-e", "0"]
        return total(timed(empty, ROOT) for _ in programs)

    def alone() -> Cost:
        each = ([node.binary(), *node.STRICT, name] for name in programs)
        return total(timed(argv, ROOT / "snippets") for argv in each)

    yield Ratio(
        "snippets through the tests",
        f"{len(programs)} programs under pytest one after the other, its start and "
        "coverage included, against as many starts of an empty program",
        "`node -e 0`",
        *interleave(tests, bare, rounds),
    )
    yield Ratio(
        "the same against the programs alone",
        "what the tests add to what the programs take by themselves",
        "`node FILE`",
        *interleave(tests, alone, rounds),
    )


def reload(guide: Path, rounds: int) -> Iterator[Ratio]:
    """An edit while `mkdocs serve` runs, until the page shows it: of a topic's prose, and
    of a snippet that its page embeds."""
    prose = guide / "docs" / "topics" / _topic() / "index.md"
    snippet, start = embedded(guide)
    numbers = count()

    def sentence(mark: str) -> None:
        with prose.open("a", encoding="utf-8") as file:
            file.write(f"\n{mark}\n")

    def comment(mark: str) -> None:
        lines = snippet.read_text("utf-8").split("\n")
        at = next(n for n, line in enumerate(lines, 1) if start in line)
        lines.insert(at, f"// {mark}")
        snippet.write_text("\n".join(lines), "utf-8")

    path = f"topics/{_topic()}/"
    with (
        _serving(guide, _CONFIG, MKDOCS, path) as ours,
        _serving(guide, _PLAIN, PLAIN, path) as plain,
    ):
        for name, write in (("a sentence", sentence), ("a snippet", comment)):

            def edit(server: _Server, write=write) -> Callable[[], Cost]:
                def once() -> Cost:
                    # both sides of a round get the same part of MkDocs' interval, and
                    # the rounds together all of it
                    number = next(numbers)
                    part = number // 2 % rounds / rounds
                    mark = f"Edit number {number}."
                    return server.until_shown(lambda: write(mark), mark, part * LOOK)

                return once

            both = interleave(edit(ours), edit(plain), rounds)
            yield Ratio(
                f"edit of {name} to reloaded page",
                "from the file's write until the page that the live reload fetches shows "
                f"it, with MkDocs' own wait in both: it looks for changes every {LOOK} s",
                "plain MkDocs",
                *both,
                target=RELOAD_TARGET,
            )


def embedded(guide: Path) -> tuple[Path, str]:
    """A snippet that the first topic's answer embeds, and the marker of the section."""
    page = content.read(guide).topics[_topic()].answer
    found = next(one for fence in page.fences for one in fence.embeds if one.section)
    return guide / "snippets" / found.file, f"[start:{found.section}]"


# --- how it is measured -----------------------------------------------------------


def interleave(
    ours: Callable[[], Cost], base: Callable[[], Cost], rounds: int
) -> tuple[list[Cost], list[Cost]]:
    """Both in turn, `rounds` times, after a round that warms the caches."""
    measured = [(ours(), base()) for _ in range(rounds + 1)][1:]
    return [pair[0] for pair in measured], [pair[1] for pair in measured]


def timed(argv: list, cwd: Path, **env: str) -> Cost:
    """Run a command to its end. Its CPU time is that of all it waited for. Raises
    BenchError when it fails or takes longer than LIMIT seconds."""
    with process.directory("timed") as folder, (folder / "log").open("w+b") as log:
        cpu = _children()
        begun = time.perf_counter()
        child, token = process.start(argv, cwd=cwd, env=env, stdout=log, stderr=log)
        # a wait with a timeout polls, which costs up to 50 ms: too coarse for Node
        watch = threading.Timer(LIMIT, child.kill)
        watch.start()
        try:
            code = child.wait()
            cost = Cost(time.perf_counter() - begun, _children() - cpu)
        finally:
            watch.cancel()
            process.end(child, token, grace=0)
        if code:
            raise BenchError(
                f"{_name(argv)}: ended with {code}, so it cannot be timed — mend what "
                f"it says:\n{_tail(log)}"
            )
    return cost


def total(costs: Iterator[Cost]) -> Cost:
    """The sum of several passes."""
    every = list(costs)
    return Cost(sum(one.wall for one in every), sum(one.cpu for one in every))


def _children() -> float:
    """CPU seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class _Server:
    """A running `mkdocs serve`. It is stopped while the other one is timed."""

    client: httpx.Client
    path: str
    running: psutil.Process
    first: str = ""  # the page before any edit

    def get(self) -> str:
        return self.client.get(self.path).text

    def until_shown(self, write: Callable[[], None], mark: str, pause: float) -> Cost:
        """Let `write` put `mark` into a file and wait as a browser does: for the live
        reload to answer, then for the page. `pause` is the time in seconds between
        a look of the server for changes and the edit. Raises BenchError after
        LIMIT s."""
        self.running.resume()  # and it looks at once, since its last look is long ago
        text = ""
        try:
            text = self.get()
            time.sleep(SETTLE + pause)
            cpu = self._cpu()
            begun = time.perf_counter()
            write()
            while mark not in text and (left := begun + LIMIT - time.perf_counter()) > 0:
                epoch, request = _RELOAD.search(text).groups()
                # it answers when something was built, or after some time
                self.client.get(f"livereload/{epoch}/{request}", timeout=left)
                text = self.get()
            cost = Cost(time.perf_counter() - begun, self._cpu() - cpu)
        except httpx.TransportError:
            text = ""  # MkDocs answers nothing after a build that failed
        finally:
            self.running.suspend()
        if mark not in text:
            raise BenchError(
                f"{self.path}: an edit did not show within {LIMIT} s — see what "
                "`make serve` says"
            )
        return cost

    def _cpu(self) -> float:
        used = self.running.cpu_times()
        return used.user + used.system


@contextlib.contextmanager
def _serving(
    guide: Path, config: str, command: Sequence[str], path: str
) -> Iterator[_Server]:
    address = f"127.0.0.1:{services.free_port()}"
    argv = [*command, "serve", "--config-file", config, "--dev-addr", address]
    log_path = guide / f"{config}.log"
    with log_path.open("w+b") as log, httpx.Client(timeout=LIMIT) as client:
        client.base_url = f"http://{address}/"
        child, token = process.start(
            argv, cwd=guide, env=_env(guide), stdout=log, stderr=log
        )
        server = _Server(client, path, psutil.Process(child.pid))
        try:
            _until_up(server, child.poll, argv, log)
            server.running.suspend()
            yield server
        finally:
            with contextlib.suppress(psutil.Error):
                server.running.resume()
            process.end(child, token, grace=5)


def _until_up(server: _Server, ended: Callable, argv: list, log: IO[bytes]) -> None:
    deadline = time.monotonic() + LIMIT
    while ended() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            server.first = server.get()
            if _RELOAD.search(server.first):
                return
        time.sleep(0.05)
    raise BenchError(f"{_name(argv)}: does not serve — mend what it says:\n{_tail(log)}")


# --- the copy, and MkDocs without our parts ---------------------------------------


def copy(folder: Path) -> Path:
    """The guide, copied with the notebooks' last run and a plain configuration
    beside its own; npm packages are borrowed."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    for packages in sorted(ROOT.glob("snippets/**/node_modules")):
        if "node_modules" not in packages.parent.parts:
            (folder / packages.relative_to(ROOT)).symlink_to(packages)
    if EXECUTED.is_dir():
        shutil.copytree(EXECUTED, folder / EXECUTED.relative_to(ROOT))
    config = plain(yaml_load((folder / _CONFIG).read_text("utf-8")))
    # it has the snippets' extension, and an edit of one is timed
    config["watch"] = [str(embedded(folder)[0].parent)]
    text = yaml.dump(config, allow_unicode=True, sort_keys=False)
    (folder / _PLAIN).write_text(text, "utf-8")
    return folder


def plain(config: dict) -> dict:
    """MkDocs' configuration without our parts: no hook, no extension from `lab`, no
    plugin but the search, no notebook; it watches what MkDocs watches by itself."""
    rest = {k: v for k, v in config.items() if k not in ("hooks", "watch")}
    rest["plugins"] = [one for one in config["plugins"] if _key(one) == "search"]
    rest["markdown_extensions"] = [
        one for one in config["markdown_extensions"] if not _key(one).startswith("lab.")
    ]
    rest["nav"] = _without_notebooks(config["nav"])
    if found := ours(rest):
        raise BenchError(
            f"mkdocs.yml: {', '.join(found)} would still be in the plain one — leave it "
            "out in lab.bench.plain"
        )
    return rest


def ours(config: object, key: str = "") -> list[str]:
    """What of ours a configuration names, wherever it stands in it."""
    if isinstance(config, dict):
        pairs = [*config.items()]
        names = [f"{key}{name}" for name in config if _is_ours(str(name))]
        return names + [x for k, v in pairs for x in ours(v, f"{key}{k}: ")]
    if isinstance(config, list):
        return [x for one in config for x in ours(one, key)]
    return [f"{key}{config}"] if _is_ours(str(config)) else []


def check_plain(html: str) -> None:
    """Raises BenchError when a topic's page was not made by plain MkDocs."""
    if 'class="pn-claim' in html or "/// claim" not in html:
        raise BenchError(
            "the plain site: shows claims as ours does, so it is not plain — see what "
            "lab.bench.plain left in"
        )


def _without_notebooks(nav: object) -> object:
    if isinstance(nav, dict):
        kept = {k: _without_notebooks(v) for k, v in nav.items()}
        return {k: v for k, v in kept.items() if v}
    if isinstance(nav, list):
        return [item for one in nav if (item := _without_notebooks(one))]
    return None if str(nav).endswith(".ipynb") else nav


def _is_ours(name: str) -> bool:
    return bool(re.search(r"^lab\b|jupyter|\.ipynb\b|^hooks$", name))


def _key(entry: str | dict) -> str:
    """The name of an extension or plugin, with options or without."""
    return next(iter(entry)) if isinstance(entry, dict) else entry


# --- small helpers -----------------------------------------------------------------


def _env(guide: Path) -> dict[str, str]:
    return {**QUIET, "PYTHONPATH": str(guide), "GUIDE_URL": ""}


def _topic() -> str:
    return next(iter(content.read().topics))


def _name(argv: list) -> str:
    return " ".join(Path(str(part)).name for part in argv[:4])


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode("utf-8", "replace")[-2000:]


def _spread(values: list[float], unit: str) -> str:
    low, middle, high = (f"{x:.2f}" for x in (min(values), median(values), max(values)))
    return f"{middle}{unit} ({low} to {high})"
