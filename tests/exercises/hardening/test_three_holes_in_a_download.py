"""The checks of hardening/three-holes-in-a-download. A docstring is the hint that a
learner reads when the check fails."""

import httpx
import pytest

from lab.run import node


def get(server, order: str, name: str, key: str = "ann-key") -> httpx.Response:
    with server.client() as client:
        params = {"order": order, "name": name}
        return client.get("/attachments", params=params, headers={"X-Key": key})


def test_everybody_gets_their_own_attachments(attempt):
    """Both customers have an invoice; a fix that refuses everything is none."""
    with node.serve(attempt) as server:
        assert get(server, "ord_1", "invoice.txt").text == "tea, for Ann"
        assert get(server, "ord_10", "invoice.txt", "bob-key").text == "coffee, for Bob"
        assert get(server, "ord_1", "invoice.txt", "").status_code == 401


@pytest.mark.fails_at_start
def test_nothing_but_attachments_is_served(attempt):
    """What does `path.join` make of two dots? And both of the parameters are the
    client's. Is a path needed at all to find a file that you know?"""
    with node.serve(attempt) as server:
        for order, name in (
            ("ord_1", "../../keys.txt"),
            ("..", "keys.txt"),
            ("ord_1/..", "../keys.txt"),
            ("ord_1", "./../.././keys.txt"),
        ):
            answer = get(server, order, name)
            assert "the key" not in answer.text, f"order={order} name={name} gave the key"
            assert answer.status_code == 404, f"{answer.status_code} for name={name}"


@pytest.mark.fails_at_start
def test_somebody_elses_attachment_is_not_found(attempt):
    """Who is logged in is known; whose order it is, nobody asked. Mind that `ord_1`
    is where `ord_10` begins, and that an order may be reached through another one."""
    with node.serve(attempt) as server:
        for order, name in (
            ("ord_10", "invoice.txt"),
            ("ord_1", "../ord_10/invoice.txt"),
            ("ord_1/../ord_10", "invoice.txt"),
        ):
            answer = get(server, order, name)
            assert "for Bob" not in answer.text, f"order={order} name={name} was served"
            assert answer.status_code == 404, f"{answer.status_code} for order={order}"


@pytest.mark.fails_at_start
def test_a_drawing_is_saved_and_not_opened(attempt):
    """An SVG may hold a script, and opened on your address it is your page's. Which
    header makes a browser save it, and which keeps it from guessing a type?"""
    with node.serve(attempt) as server:
        headers = get(server, "ord_1", "drawing.svg").headers
        saved = headers.get("Content-Disposition", "")
        assert saved.startswith("attachment"), f"Content-Disposition is {saved!r}"
        assert headers.get("X-Content-Type-Options") == "nosniff"
        assert "svg" not in headers["Content-Type"], headers["Content-Type"]


@pytest.mark.fails_at_start
def test_what_is_not_there_is_not_found_without_a_word_of_the_folder(attempt):
    """Ask for a file that is not there, or for no name at all, and read the answer as
    an attacker would."""
    with node.serve(attempt) as server:
        with server.client() as client:
            bare = client.get("/attachments", headers={"X-Key": "ann-key"})
        for answer in (get(server, "ord_1", "nothing.txt"), bare):
            assert answer.status_code == 404, f"{answer.status_code}, not 404"
            assert "attachments/" not in answer.text, "the answer has a path of yours"
