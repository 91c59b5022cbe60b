"""A diagnosis is an exercise whose service runs: somebody on call has symptoms, looks for
the cause, names it, and fixes it. It is known by its `symptoms.md`.

`cause.md` is the form for the learner: prose, and lines `name:` to be filled in.
`solution.md` is the same with what is accepted, then the story. Of its lines

    order: close,exit flush,write | early flush / flush close,exit

says that an answer must have `close` or `exit` and later `flush` or `write`, or `early`
and later `flush`, and that one with `flush` and later `close` is understood and wrong.

A line `// needs: postgres` or `redis` of `start.mjs` starts one with the service, which
finds its address in `DATABASE_URL` or `REDIS_URL`.
"""

import contextlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lab import ROOT, SNIPPETS, GuideError
from lab.run import node, process

MOST = 10  # words that say something; who needs more is listing guesses
_ADDRESSES = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
_LINE = re.compile(r"^([a-z][a-z-]*):[ \t]*(.*)$", re.MULTILINE)
# words that say nothing
_EMPTY = frozenset(
    "a an and are at be by for has have in is it its of on or that the to".split()  # noqa: SIM905
)
_NOT = {"not", "never", "no", "isn", "doesn", "unfinished", "without"}


class DiagnosisError(GuideError):
    """A diagnosis cannot be started, or its answer cannot be read."""


def lines(text: str) -> dict[str, str]:
    """The lines `name: …` of a form, by name."""
    return {name: answer.strip() for name, answer in _LINE.findall(text)}


def is_one(topic: str, name: str) -> bool:
    """Whether an exercise is a diagnosis."""
    return (_folder(topic, name) / "symptoms.md").is_file()


def copy(topic: str, name: str, work: Path) -> None:
    """Copy to `work` what the learner changes, and is not there."""
    work.mkdir(parents=True, exist_ok=True)
    for source, target in (("start.mjs", "service.mjs"), ("cause.md", "cause.md")):
        if not (work / target).exists():
            shutil.copyfile(_folder(topic, name) / source, work / target)


def judge(topic: str, name: str, form: Path) -> str:
    """What is wrong with the cause in a learner's form, without saying what is right;
    "" if it is found. Raises DiagnosisError when the form cannot be read."""
    accepted = lines((_folder(topic, name) / "solution.md").read_text("utf-8"))
    place = node.label(form)
    try:
        answers = lines(form.read_text("utf-8"))
    except FileNotFoundError:
        raise DiagnosisError(
            f"{place}: no such file — `make exercise E={topic}/{name}` copies it again"
        ) from None
    except UnicodeDecodeError:
        raise DiagnosisError(f"{place}: is not UTF-8 — save it as that") from None
    if gone := [one for one in accepted if one not in answers]:
        raise DiagnosisError(
            f"{place}: has no line `{gone[0]}:` — write it at the beginning of a line, or "
            "delete the file and have it copied again"
        )
    verdicts = {one: _verdict(answers[one], accepted[one]) for one in accepted}
    for verdict, tell in (
        ("empty", "not filled in: {}"),
        ("long", "name one thing, in a few words: {}"),
        ("unknown", "not understood, use the code's or the log's word for it: {}"),
    ):
        if those := [one for one in verdicts if verdicts[one] == verdict]:
            return tell.format(", ".join(those))
    return "" if set(verdicts.values()) == {"right"} else "that is not what happens"


def _verdict(answer: str, accepted: str) -> str:
    """`right`, `wrong`, `unknown`, `long` or `empty`."""
    words = _words(answer)
    if not words:
        return "empty"
    if len(words) > MOST:
        return "long"
    words = _in_order(words)
    right, _, wrong = accepted.partition("/")
    if any(_has(words, one) for one in wrong.split("|")):
        return "wrong"
    return "right" if any(_has(words, one) for one in right.split("|")) else "unknown"


def _in_order(words: list[str]) -> list[str]:
    """ "b after a" and "b is not done before a" both say that a comes first."""
    turn = len(words)
    if "after" in words:
        turn = words.index("after")
    elif (here := _stem("before")) in words and _NOT & set(words[: words.index(here)]):
        turn = words.index(here)
    return words[turn + 1 :] + words[:turn]


def _has(words: Sequence[str], expression: str) -> bool:
    """Whether the words of an expression are among `words`, in its order. A comma in it
    is an or."""
    wanted = [{_stem(one) for one in part.split(",")} for part in expression.split()]
    rest = iter(words)
    return bool(wanted) and all(any(one in part for one in rest) for part in wanted)


def _words(text: str) -> list[str]:
    """Those that say something, in lower case and without their endings."""
    parts = re.findall(r"[a-z0-9]+", text.lower())
    return [_stem(part) for part in parts if part not in _EMPTY]


def _stem(word: str) -> str:
    return re.sub(r"(ing|ed|es|s|d|e)$", "", word.strip().lower())


def run(topic: str, name: str, work: Path, port: int = 0) -> int | None:
    """Start the learner's service in the foreground, with its log, and tell the symptoms
    when it listens. Returns its exit code, negative for a signal, when it has ended by
    itself; None after Ctrl-C, which ends it and whatever it started.

    `port` 0 is a free one. The service is given an empty folder for its data. Raises
    DiagnosisError when it does not start, ServiceError when what it needs does not.
    """
    with contextlib.ExitStack() as stack:
        env = {"PORT": str(port)}
        start = (_folder(topic, name) / "start.mjs").read_text("utf-8")
        for needed in re.findall(r"^// needs: (\w+)", start, re.MULTILINE):
            from lab.run import services  # late: it wants more than a notebook does

            started = getattr(services, needed)()
            env[_ADDRESSES[needed]] = stack.enter_context(started).url
        return _run(topic, name, work, env)


def _run(topic: str, name: str, work: Path, env: dict[str, str]) -> int | None:
    service = work / "service.mjs"
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    argv: list[str | Path] = [service, str(data)]
    if node.is_app(service.read_text("utf-8")):
        argv = [SNIPPETS / "serve.mjs", str(service)]
    child, token = node.start(argv, env, subprocess.PIPE, subprocess.STDOUT)
    said: list[str] = []  # until it listened

    def follow() -> None:
        for raw in child.stdout or ():
            line = raw.decode("utf-8", "replace")
            print(line, end="", flush=True)
            said.append(line)
            if found := node.READY.match(line):
                print(_told(topic, name, found[1], child.pid, data), flush=True)

    log = threading.Thread(target=follow, daemon=True)
    log.start()
    code = None
    try:
        # not `wait`: a Ctrl-C that another thread is given would not end that
        while (code := child.poll()) is None:
            time.sleep(0.05)
    except KeyboardInterrupt:
        print("\nCtrl-C: the service is told to leave, once more kills it", flush=True)
    finally:
        _end(child, token)
        log.join(1)
        if child.stdout:
            child.stdout.close()
    text = "".join(said)
    if code is None or node.READY.search(text):
        return code
    if "EADDRINUSE" in text:
        raise DiagnosisError(
            f"port {env['PORT']}: is taken — leave PORT out for a free one"
        )
    raise DiagnosisError(
        f"{node.label(service)}: ended with {code} before it listened, as is said above — "
        "mend it, or delete it and have it copied again"
    )


def _end(child: "subprocess.Popen[bytes]", token: str) -> None:
    try:
        process.end(child, token, grace=12)
    except KeyboardInterrupt:
        process.end(child, token, grace=0)


def _told(topic: str, name: str, url: str, pid: int, data: Path) -> str:
    """The symptoms, with what is known only now."""
    text = (_folder(topic, name) / "symptoms.md").read_text("utf-8")
    at = data.relative_to(ROOT) if data.is_relative_to(ROOT) else data
    for mark, value in (("{url}", url), ("{pid}", str(pid)), ("{data}", str(at))):
        text = text.replace(mark, value)
    rule = "-" * 78
    return f"{rule}\n{text.strip()}\n{rule}"


def _folder(topic: str, name: str) -> Path:
    return SNIPPETS / topic / "exercises" / name
