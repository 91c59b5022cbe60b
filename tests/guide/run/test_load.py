"""Load goes to this machine only, and is bounded."""

import pytest

from lab.run import load, node


def test_load_goes_to_this_machine_only_and_is_bounded():
    for url in ("http://192.0.2.1/", "http://example.com/"):
        with pytest.raises(load.LoadError, match="this machine only"):
            load.open_loop(url, rate=1, seconds=1)
        with pytest.raises(load.LoadError, match="this machine only"):
            load.closed_loop(url, connections=1, seconds=1)
    with pytest.raises(load.LoadError, match="too much"):
        load.open_loop("http://127.0.0.1:9/", rate=100_000, seconds=1)


def test_closed_and_open_loop_load_a_server():
    with node.serve("event-loop/login.mjs") as server:
        health = f"{server.url}/health"
        closed = load.closed_loop(health, connections=2, seconds=1)
        answers = load.open_loop(health, rate=20, seconds=0.5)
    assert closed["2xx"] > 0 and closed["non2xx"] == closed["errors"] == 0
    assert [answer.status for answer in answers] == [200] * 10
