"""Leaving without losing an accepted request, however clients behave."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import time

import httpx
import pytest
import trustme

from lab.run import node, process, services

from .shared import (
    BIG,
    address,
    answer,
    clients_of,
    get,
    got,
    leave,
    reset,
    under_load,
)


def test_process_exit_cuts_off_whoever_is_being_answered():
    with node.serve("clustering/shutdown.naive.mjs", "exit") as server:
        with under_load(server) as counts:
            os.kill(server.pid, signal.SIGTERM)
            seen = counts()
    assert seen["lost"] > 0 and seen["answered"] > 0


@pytest.mark.claim("clustering/close-is-graceful", verdict="wrong")
def test_close_alone_waits_for_a_connection_that_goes_on_asking_and_a_drain_ends_it():
    with node.serve("clustering/shutdown.naive.mjs", "close") as server:
        with server.client() as client:
            with contextlib.closing(half_asked(server)) as asking:
                process.until(lambda: clients_of(server) == 1)
                os.kill(server.pid, signal.SIGTERM)
                process.until(lambda: not services.listens(server.port))
                asking.sendall(b"\r\n")  # the rest of the request
                for _ in range(50):
                    answer = read_answer(asking)
                    assert b"HTTP/1.1 200" in answer
                    assert b"Connection: keep-alive" in answer
                    asking.sendall(HEALTH)
                assert server.alive()  # as long as the client stays
                with pytest.raises(httpx.ConnectError):
                    client.get("/health")
        process.until(lambda: not server.alive())
    with node.serve("clustering/shutdown.mjs") as server, server.client() as client:
        with contextlib.closing(half_asked(server)) as asking:
            process.until(lambda: clients_of(server) == 1)
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: client.get("/health").headers["connection"] == "close")
            asking.sendall(b"\r\n")
            assert b"Connection: close" in read_answer(asking)
            process.until(lambda: not server.alive())


HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def half_asked(server) -> socket.socket:
    """A connection with a request that is one line short."""
    client = socket.create_connection(address(server), 10)
    client.sendall(HEALTH[:-2])
    return client


def read_answer(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"}"):
        data += (more := client.recv(65536))
        assert more, data
    return data


def test_a_drain_loses_no_request_that_was_accepted_however_rude_others_are():
    with node.serve("clustering/shutdown.mjs") as server:
        with under_load(server, ms=18_000, rude=5, leave=True) as counts:
            process.until(lambda: not server.alive())
            seen = counts()
    assert seen["lost"] == 0 and seen["answered"] >= 40


HELD = (200, "close", b"held")


def test_a_client_that_resets_its_connection_costs_nobody_else_an_answer(leaving):
    with leaving() as server, get(server, "/held") as polite:
        rude = [get(server, "/kept"), get(server, "/held"), half_asked(server)]
        rude.append(socket.create_connection(address(server)))
        got(server, "/kept")
        got(server, "/held", 2)
        process.until(lambda: clients_of(server) == 5)
        leave(server)
        for client in rude:
            reset(client)
        process.until(lambda: clients_of(server) == 1)
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(polite) == HELD
        process.until(lambda: not server.alive())  # with 0, else `serve` objects
        assert "cut: 0" in server.output()


@pytest.mark.parametrize("kind", ["kept", "silent", "upgraded", "late"])
def test_a_client_that_says_nothing_does_not_cost_the_whole_patience(leaving, kind):
    with leaving(quiet=300) as server, contextlib.ExitStack() as stack:
        if kind == "kept":
            assert answer(stack.enter_context(get(server, "/"))) == (
                200,
                "keep-alive",
                b"ok",
            )
        elif kind == "upgraded":
            upgraded = stack.enter_context(socket.create_connection(address(server)))
            upgraded.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                             b"Upgrade: a\r\n\r\n")  # fmt: skip
            assert b"101" in upgraded.recv(100)
        elif kind == "silent":
            stack.enter_context(socket.create_connection(address(server)))
            process.until(lambda: clients_of(server) == 1)
        else:
            stack.enter_context(get(server, "/held"))  # so that it accepts still
            got(server, "/held")
        leave(server)
        if kind == "late":
            stack.enter_context(socket.create_connection(address(server)))
            process.until(lambda: clients_of(server) == 2)
            process.until(lambda: clients_of(server) == 1)
            os.kill(server.pid, signal.SIGUSR2)
        process.until(lambda: not server.alive())


def test_a_slow_request_is_waited_for_as_long_as_it_goes_on(leaving):
    with leaving(quiet=300) as server, half_asked(server) as slow:
        process.until(lambda: clients_of(server) == 1)
        leave(server)
        slow.sendall(b"X-Slow: ")
        process.until(
            lambda: not services.listens(server.port)
        )  # who is quiet has been closed
        time.sleep(0.4)  # or longer
        slow.sendall(b"yes\r\n\r\n")
        assert answer(slow) == (200, "close", b"ok")


def test_what_came_while_the_loop_stood_still_is_answered(leaving, tmp_path):
    sent = tmp_path / "sent"
    block = f"while (!existsSync({str(sent)!r}));"
    with leaving(quiet=1, then=block) as server, get(server, "/") as kept:
        assert answer(kept) == (200, "keep-alive", b"ok")
        leave(server)
        time.sleep(0.01)  # or longer: it has been quiet
        kept.sendall(HEALTH)
        sent.touch()
        assert answer(kept) == (200, "close", b"ok")


def test_both_of_two_requests_sent_at_once_are_answered(leaving):
    request = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
    with leaving() as server, socket.create_connection(address(server)) as client:
        client.sendall(2 * request)
        got(server, "/held", 2)
        leave(server)
        os.kill(server.pid, signal.SIGUSR2)
        data = b""
        while more := client.recv(65536):
            data += more
        assert data.count(b"200 OK") == data.count(b"\r\n\r\nheld") == 2


def test_the_second_of_two_is_waited_for_when_the_first_is_answered(leaving):
    both = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /held HTTP/1.1\r\nHost: a\r\n\r\n"
    with (
        leaving(quiet=300) as server,
        socket.create_connection(address(server)) as client,
    ):
        client.sendall(both)
        got(server, "/held")
        assert client.recv(1000).endswith(b"ok")
        leave(server)
        process.until(lambda: not services.listens(server.port))
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(client) == HELD


def test_a_stream_that_ends_during_the_drain_ends_its_connection(leaving):
    with leaving(quiet=300) as server, get(server, "/stream") as client:
        got(server, "/stream")
        leave(server)
        process.until(lambda: not services.listens(server.port))
        os.kill(server.pid, signal.SIGUSR2)
        # it could not be told any more
        assert answer(client) == (200, "keep-alive", b"begun, held")
        process.until(lambda: not server.alive())


@pytest.mark.claim("clustering/close-is-graceful", verdict="wrong")
@pytest.mark.parametrize(("way", "whole"), [("server.close()", False), ("drain()", True)])
def test_close_cuts_an_answer_that_is_still_being_read_and_a_drain_does_not(
    leaving, way, whole
):
    with leaving(quiet=300, way=way) as server, get(server, "/big") as slow:
        got(server, "/big")  # the application has done its part
        leave(server)
        process.until(lambda: not services.listens(server.port))
        response = http.client.HTTPResponse(slow)
        response.begin()
        try:
            size = len(response.read())
        except (http.client.IncompleteRead, ConnectionResetError):
            size = 0
        assert (size == BIG) == whole


@pytest.mark.parametrize("path", ["/held", "/stream", "/big", "half"])
def test_what_never_ends_is_cut_when_patience_is_over_and_the_drain_says_so(
    leaving, path
):
    with leaving(patience=500) as server:
        with half_asked(server) if path == "half" else get(server, path):
            process.until(lambda: clients_of(server) == 1)
            if path != "half":
                got(server, path)
            leave(server)
            process.until(lambda: not server.alive())
            assert "cut: 1" in server.output()


def test_what_was_upgraded_is_cut_as_well_when_patience_is_over(leaving):
    with leaving(patience=500) as server:
        with socket.create_connection(address(server)) as upgraded:
            upgraded.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                             b"Upgrade: a\r\n\r\n")  # fmt: skip
            assert b"101" in upgraded.recv(100)
            leave(server)
            process.until(lambda: not server.alive())
            assert "cut: 1" in server.output()


def test_a_second_signal_joins_the_drain(leaving):
    with leaving() as server, get(server, "/held") as polite:
        got(server, "/held")
        leave(server)
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: server.output().count("leaving") == 2)
        os.kill(server.pid, signal.SIGUSR2)
        assert answer(polite) == HELD
        process.until(lambda: not server.alive())
        assert server.output().count("cut: 0") == 2


def test_a_drain_of_a_server_with_tls_answers_whom_it_works_for(leaving, tmp_path):
    authority = trustme.CA()
    issued, file = authority.issue_cert("127.0.0.1"), tmp_path / "pem"
    issued.private_key_and_cert_chain_pem.write_to_path(file)
    pem = repr(file.read_text())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with leaving(quiet=300, tls=f"key: {pem}, cert: {pem}") as server:
        raw = socket.create_connection(address(server), 10)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            got(server, "/held")
            leave(server)
            process.until(lambda: not services.listens(server.port))
            os.kill(server.pid, signal.SIGUSR2)
            assert answer(client) == HELD
            process.until(lambda: not server.alive())


@pytest.mark.parametrize("wrong", ["patienceMs: '8000'", "quietMs: NaN", "quietMs: -1",
                                   "patienceMs: Infinity", "patienceMs: 2 ** 31"])  # fmt: skip
def test_a_patience_that_is_no_number_is_refused_when_the_drain_is_made(program, wrong):
    made = program(
        "import { createServer } from 'node:http';\n"
        "import { drainable } from './clustering/shutdown.mjs';\n"
        f"drainable(createServer(), {{ {wrong} }});\n"
    )
    assert f"TypeError: {wrong.split(':')[0]}" in node.run(made, code=1).stderr
