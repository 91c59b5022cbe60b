"""Errors that nobody catches: rejections, two events, what a handler may still do."""

import pytest

from lab.run import node


@pytest.mark.claim(
    "event-loop/unhandled-rejection-warns",
    verdict="wrong",
    counter=(
        "here",
        "setInterval(() => {}, 9); Promise.reject(new Error('lost'));",
        "Promise.reject(new Error('lost')).catch(() => {});",
    ),
)
def test_an_unhandled_rejection_ends_the_process():
    source = "setInterval(() => {}, 9); Promise.reject(new Error('lost'));"
    done = node.evaluate(source, code=1)
    assert "Error: lost" in done.stderr


LOST = "Promise.reject(new Error('lost')); setTimeout(() => console.log('alive'), 9);"


@pytest.mark.claim(
    "event-loop/unhandled-rejection-warns",
    verdict="wrong",
    counter=(
        "here",
        "process.on('{event}', () => {{}}); ",
        "",
    ),
)
@pytest.mark.parametrize("event", ["unhandledRejection", "uncaughtException"])
def test_a_listener_of_either_event_keeps_the_process(event):
    done = node.evaluate(f"process.on('{event}', () => {{}}); {LOST}")
    assert done.stdout == "alive\n"


@pytest.mark.claim(
    "event-loop/unhandled-rejection-warns",
    verdict="wrong",
    counter=(
        "here",
        "--unhandled-rejections={mode}",
        "--unhandled-rejections=warn",
    ),
)
@pytest.mark.parametrize(
    ("mode", "code"), [("warn", 0), ("none", 0), ("strict", 1), ("throw", 1)]
)
def test_two_modes_of_unhandled_rejections_keep_the_process(tmp_path, mode, code):
    program = tmp_path / "lost.mjs"
    program.write_text(LOST)
    done = node.run(program, flags=(f"--unhandled-rejections={mode}",), code=code)
    assert ("alive" in done.stdout) == (code == 0)


@pytest.mark.claim(
    "event-loop/both-awaits-in-one-try",
    verdict="wrong",
    counter=(
        "here",
        "await one; await other;",
        "await Promise.all([one, other]);",
    ),
)
@pytest.mark.parametrize("how", ["one after the other", "together"])
def test_two_promises_that_are_not_awaited_together_can_end_the_process(how):
    source = """
    import { setTimeout as sleep } from 'node:timers/promises';
    const slow = () => sleep(50);
    const fails = async () => { await null; throw new Error('lost'); };
    try {
      const [one, other] = [slow(), fails()];
      %s
    } catch (error) {
      console.log('caught', error.message);
    }
    """
    if how == "together":
        done = node.evaluate(source % "await Promise.all([one, other]);")
        assert done.stdout == "caught lost\n"
    else:
        done = node.evaluate(source % "await one; await other;", code=1)
        assert done.stdout == "" and "Error: lost" in done.stderr


def test_after_an_uncaught_exception_the_handler_decides_and_the_request_is_lost():
    swallow = """
    import { createServer, get } from 'node:http';
    let said = 'no answer';
    process.on('uncaughtException', (error) => {
      console.log('caught', error.message);
      setTimeout(() => {
        console.log(said);
        request.destroy();
        server.close();
      }, 300);
    });
    let request;
    const server = createServer((req, res) => {
      setImmediate(() => { throw new Error('late'); });
    }).listen(0, '127.0.0.1', () => {
      request = get(server.address(), () => { said = 'answer'; }).on('error', () => {});
    });
    """
    assert node.evaluate(swallow).stdout == "caught late\nno answer\n"
