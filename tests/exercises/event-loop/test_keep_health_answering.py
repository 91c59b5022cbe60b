"""The checks of event-loop/keep-health-answering. A docstring is the hint that a
learner reads when the check fails."""

import hashlib
import threading

import pytest

from lab.run import load, node

# restates: event-loop/async-means-non-blocking event-loop/await-lets-others-in

EVENTS = [f"event {number}: paid" for number in range(400_000)]


def upload(client, events):
    text = "\n".join(events)
    headers = {"content-type": "text/plain"}
    return client.post("/audit", content=text, headers=headers)


def head_of(events):
    head = ""
    for event in events:
        head = hashlib.sha256((head + event).encode()).hexdigest()
    return head


def test_the_head_is_the_hash_chain_of_all_events(attempt):
    """Each event is hashed with the head so far: sha256(head + event), in hex.
    Carry the head over from one piece of work to the next."""
    with node.serve(attempt) as server, server.client() as client:
        answer = upload(client, EVENTS[:1000])
        assert answer.status_code == 200
        assert answer.json() == {"events": 1000, "head": head_of(EVENTS[:1000])}


def test_what_is_no_text_is_refused(attempt):
    """A body that the text parser leaves alone is undefined."""
    with node.serve(attempt) as server, server.client() as client:
        assert client.post("/audit", json={"no": "text"}).status_code == 415
        assert client.get("/health").status_code == 200


@pytest.mark.fails_at_start
def test_health_answers_while_a_log_is_hashed(attempt):
    """The loop must come back to its sockets during the work. Which phase does
    it have to reach, and what gets it there between two slices?"""
    body = "\n".join(EVENTS).encode()
    with node.serve(attempt) as server, server.client() as client:
        held = load.Held(f"{server.url}/audit", "POST", body, "text/plain")
        answers = load.answers_during(held, client, "/health")
        # one may be in the same batch of events, ahead of the upload's last byte
        assert answers > 5, f"/health answered {answers} times during the hashing"


def test_two_uploads_at_once_get_their_own_heads(attempt):
    """Work in slices means that requests interleave: keep no state outside the
    request."""
    logs = [EVENTS[:20_000], EVENTS[20_000:50_000]]
    heads = {}
    with node.serve(attempt) as server, server.client() as client:

        def work(index):
            heads[index] = upload(client, logs[index]).json()["head"]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [heads[0], heads[1]] == [head_of(log) for log in logs]
