"""Frames by hand, held to RFC 6455."""

import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.record import evidence, figure
from lab.run import node, process

from .shared import TOPIC, Wire, client, ended, payload

SOURCE = node.label(Path(__file__))

FRAMES = json.loads(Path(__file__).with_name("frames.json").read_text("utf-8"))

CASES = FRAMES["cases"]

ERRORS = {"1002", "1007", "1009", "1002|1009"}


def play(port: int, case: dict) -> list[tuple[str, bytes]]:
    """The server's frames, until the connection ends. Where the case leaves it open,
    a close of ours must be answered."""
    last = case["expect"][-1].split(" ")[0]
    with Wire(port) as wire:
        wire.send(*case["send"])
        if last == "end":
            wire.socket.shutdown(socket.SHUT_WR)
        elif last != "close":
            wire.send("88 hex:03e8")
        frames = []
        while received := wire.receive():
            frames.append(received)
            whole = len(frames) == len(case["expect"])
            if last == "close" and whole and received[0] != "close":
                return frames  # it should have had enough by now
    if last not in ("close", "end") and frames[-1:] == [("close", b"\x03\xe8")]:
        frames.pop()
    elif last not in ("close", "end"):
        frames.append(("died", b""))
    return frames


def as_required(case: dict, frames: list[tuple[str, bytes]]) -> bool:
    wanted = [] if case["expect"] == ["end"] else case["expect"]
    if len(wanted) != len(frames):
        return False
    for text, (kind, data) in zip(wanted, frames, strict=True):
        name, _, rest = text.partition(" ")
        if name == "close" and rest:
            codes = [struct.pack(">H", int(code)) for code in rest.split("|")]
            same = data[:2] in codes
        else:
            same = data == payload(rest)
        if name != kind or not same:
            return False
    return True


def fails(case: dict) -> bool:
    """Whether the server has to fail the connection, not just to answer a close."""
    code = case["expect"][-1].removeprefix("close ")
    return code in ERRORS and case["name"] != f"close code {code}"


def test_the_corpus_is_what_the_page_says_it_is():
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {"5.1", "5.2", "5.3", "5.4", "5.5", "7.4", "8.1"} <= {c["rfc"] for c in CASES}


def test_the_hardened_server_does_what_the_rfc_requires_in_every_case():
    with node.serve(f"{TOPIC}/echo.mjs") as server, client(server.url) as other:
        with ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(lambda case: play(server.port, case), CASES))
        wrong = {
            case["name"]: frames
            for case, frames in zip(CASES, seen, strict=True)
            if not as_required(case, frames)
        }
        assert wrong == {}
        other.send("still there")
        assert other.recv(20) == "still there"
        assert server.alive()


# Counts what would have ended the process, which lives on for the next case.
COUNT = """data:text/javascript,process.setUncaughtExceptionCaptureCallback(
  (error) => console.log('uncaught', error.code))"""


def naively() -> list[str]:
    """What becomes of the naive server in each case: right, wrong or died."""
    seen = []
    with node.serve(f"{TOPIC}/echo.naive.mjs", flags=("--import", COUNT)) as server:
        for case in CASES:
            before = server.output().count("uncaught WS_ERR")
            right = as_required(case, play(server.port, case))
            died = server.output().count("uncaught WS_ERR") > before
            seen.append("died" if died else "right" if right else "wrong")
    return seen


def test_the_naive_server_dies_of_every_bad_frame_and_returns_bytes_as_text():
    seen = naively()
    by = {
        what: {c["name"] for c, found in zip(CASES, seen, strict=True) if found == what}
        for what in ("died", "wrong", "right")
    }
    large = {case["name"] for case in CASES if "limit" in case}
    promised = {"a header that promises 1 GiB"}  # more than its 100 MiB
    binary = {
        case["name"] for case in CASES if any("binary" in e for e in case["expect"])
    }
    assert by["died"] == {c["name"] for c in CASES if fails(c)} - large | promised
    assert by["wrong"] == binary | large - promised
    assert len(by["died"]) >= 50


GROUPS = list(dict.fromkeys(case["group"] for case in CASES))


@pytest.mark.timing
def test_what_the_corpus_does_to_the_naive_server():
    """Counts only; marked as timed since it records."""
    seen = naively()
    counts = {name: {"right": 0, "wrong": 0, "died": 0} for name in GROUPS}
    for case, what in zip(CASES, seen, strict=True):
        counts[case["group"]][what] += 1
    for name, what, value in (
        ("cases", "cases of RFC 6455 in the corpus", len(CASES)),
        ("deaths", "cases that end the naive echo server", seen.count("died")),
    ):
        bounds = {"above": value - 0.5, "below": value + 0.5}
        evidence.hold(f"{TOPIC}/{name}", value, "cases", what, source=SOURCE, **bounds)

    drawing, axes = figure.plot(6.4, 3.2)
    left = [0] * len(GROUPS)
    names = list(reversed(GROUPS))
    says = {"right": "as required", "wrong": "wrong answer", "died": "process ended"}
    shades = {"right": 2, "wrong": 3, "died": 1}
    for what, label in says.items():
        widths = [counts[name][what] for name in names]
        color = figure.SERIES[shades[what]]
        axes.barh(names, widths, 0.62, left, label=label, color=color, alpha=0.45)
        for row, width in enumerate(widths):
            if width:
                axes.text(left[row] + width / 2, row, width, ha="center", va="center")
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set(xlabel="cases", xlim=(0, max(left) + 1))
    axes.grid(axis="y", visible=False)
    drawing.legend(loc="outside upper center", ncols=3)
    figure.publish(
        f"{TOPIC}/corpus",
        drawing,
        f"The naive echo server under {len(CASES)} cases of RFC 6455, by group: "
        f"{seen.count('died')} end the process, {seen.count('wrong')} get a wrong "
        f"answer, {seen.count('right')} are as required. Reserved bits and opcodes, "
        "and bad close codes, kill it most.",
        {
            "group": GROUPS,
            **{what: [counts[name][what] for name in GROUPS] for what in says},
        },
        source=SOURCE,
    )


@pytest.mark.claim("websockets/five-lines", verdict="wrong")
def test_two_bytes_end_the_naive_server_and_all_its_connections():
    with pytest.raises(node.NodeError, match="ended while it was being served"):
        with node.serve(f"{TOPIC}/echo.naive.mjs") as server:
            with client(server.url) as one, client(server.url) as two:
                one.send("hello")
                assert one.recv(20) == "hello"
                with Wire(server.port) as wire:
                    wire.send("raw ff00")
                assert ended(one) == ended(two) == (1006, "")
                process.until(lambda: not server.alive(), what="the process ended")
                assert "WS_ERR_UNEXPECTED_RSV_2_3" in server.output()


@pytest.mark.claim("websockets/five-lines", verdict="wrong")
def test_the_same_two_bytes_end_only_their_own_connection_of_the_hardened_server():
    with node.serve(f"{TOPIC}/echo.mjs") as server:
        with client(server.url) as one, client(server.url) as two:
            with Wire(server.port) as wire:
                wire.send("raw ff00")
                assert wire.receive() == ("close", struct.pack(">H", 1002))
            for peer in (one, two):
                peer.send("still there")
                assert peer.recv(20) == "still there"
