"""In which order timers, immediates, ticks and promises run."""

import pytest

from lab.run import node


def position(lines: list[str], text: str) -> int:
    return next(i for i, line in enumerate(lines) if text in line)


@pytest.mark.claim(
    "event-loop/next-tick-before-promises",
    verdict="depends",
    counter=(
        "event-loop/order.mjs",
        "process.nextTick(",
        "queueMicrotask(",
    ),
)
def test_next_tick_is_before_promises_in_commonjs_and_after_them_in_a_module(
    tmp_path,
):
    assert node.lines("event-loop/order.cjs") == [
        "main", "tick", "microtask", "promise", "timeout",
    ]  # fmt: skip
    assert node.lines("event-loop/order.mjs") == [
        "main", "microtask", "promise", "tick", "timeout",
    ]  # fmt: skip
    # a module that a script loads with require() is run like the script
    script = tmp_path / "script.cjs"
    script.write_text(f"require({str(node.resolve('event-loop/order.mjs'))!r});")
    required = node.run(script).stdout.split()
    assert required == ["main", "tick", "microtask", "promise", "timeout"]


def test_set_immediate_is_before_a_timer_inside_an_io_callback():
    lines = node.lines("event-loop/after-poll.mjs")
    assert position(lines, "setImmediate") < position(lines, "setTimeout")


def test_recursive_next_tick_and_microtasks_starve_a_timer_and_set_immediate_does_not():
    assert node.lines("event-loop/starvation.mjs") == [
        "setImmediate: the timer fired",
        "nextTick: the timer starved",
        "queueMicrotask: the timer starved",
    ]


# --- order and time ---------------------------------------------------------------


@pytest.mark.claim(
    "event-loop/set-immediate-is-immediate",
    verdict="depends",
    counter=(
        "event-loop/after-poll.mjs",
        "stat('.', () => {",
        "setImmediate(() => {",
    ),
)
@pytest.mark.claim(
    "event-loop/immediate-first-after-io",
    verdict="right",
    counter=(
        "event-loop/after-poll.mjs",
        "setImmediate(() => console",
        "setTimeout(() => console",
    ),
)
def test_in_an_io_callback_set_immediate_is_first_every_time():
    for _ in range(20):
        lines = node.lines("event-loop/after-poll.mjs")
        assert position(lines, "setImmediate") < position(lines, "setTimeout")


def test_after_two_milliseconds_of_start_up_a_timer_is_first_from_the_main_module():
    assert {node.lines("event-loop/first.mjs", "2")[0] for _ in range(10)} == {
        "setTimeout 0"
    }


@pytest.mark.claim(
    "event-loop/drained-between-callbacks",
    verdict="right",
    counter=(
        "event-loop/drained.mjs",
        "process.nextTick(",
        "setImmediate(",
    ),
)
def test_between_two_timer_callbacks_ticks_and_microtasks_are_drained():
    assert [line.strip() for line in node.lines("event-loop/drained.mjs")] == [
        "timer 1", "tick of timer 1", "microtask of timer 1", "timer 2",
    ]  # fmt: skip


def test_a_delay_beyond_31_bits_fires_at_once_and_warns():
    done = node.evaluate("setTimeout(() => console.log('fired'), 2 ** 31)")
    assert done.stdout == "fired\n"
    assert "TimeoutOverflowWarning" in done.stderr
