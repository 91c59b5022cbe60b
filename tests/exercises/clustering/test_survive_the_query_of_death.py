"""The checks of clustering/survive-the-query-of-death. A docstring is the hint that
a learner reads when the check fails."""

import httpx
import psutil
import pytest

from lab.run import node, process


def workers(server) -> list[int]:
    return [one.pid for one in psutil.Process(server.pid).children()]


def answers(server) -> bool:
    try:
        url = f"{server.url}/orders/ord_1/label"
        return httpx.get(url).json() == {"label": "tea"}
    except httpx.TransportError:
        return False


def poison(server) -> None:
    try:
        httpx.get(f"{server.url}/orders/ord_13/label")
    except httpx.TransportError:
        return
    pytest.fail("the request for order 13 was answered: leave the worker as it is")


def test_two_workers_answer_at_one_address(attempt):
    """Both workers listen on the port that the primary chose."""
    with node.serve(attempt) as server:
        seen = {httpx.get(f"{server.url}/health").json()["worker"] for _ in range(4)}
        assert len(seen) == 2, f"{len(seen)} worker answered four connections"


@pytest.mark.fails_at_start
def test_workers_answer_again_after_queries_of_death(attempt):
    """Node.js does not replace a worker. What does the event that tells you of its end
    have to do?"""
    with node.serve(attempt) as server:
        for count in range(4):
            process.until(
                lambda: answers(server), 5, f"an answer after {count} queries of death"
            )
            poison(server)
        process.until(lambda: answers(server), 5, "an answer after four of them")
        process.until(lambda: len(workers(server)) == 2, 10, "two workers again")


@pytest.mark.fails_at_start
def test_a_worker_that_cannot_start_is_given_up_with_an_error(attempt):
    """Count the ends within a time, not since ever, and decide how many are too many.
    What is left to say to whoever started the primary is its exit code."""
    done = node.run(attempt, env={"BROKEN": "1"}, timeout=20, code=None)
    starts = done.stderr.count("no database\n")
    assert starts <= 20, f"{starts} workers were started before it gave up"
    assert done.code not in (0, None), f"the primary ended with {done.code}"


def test_on_sigterm_all_of_it_ends(attempt):
    """A worker that ends because you ended it is not to be replaced."""
    with node.serve(attempt, grace=10) as server:
        assert answers(server)
