"""What the checks of both exercises take."""

import contextlib

import pytest

from lab.run import process, services


@pytest.fixture(scope="package")
def server():
    """One PostgreSQL for the exercises of this topic, which finds deadlocks quickly."""
    if why := services.missing("postgresql"):
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            running = stack.enter_context(services.postgres(deadlock_timeout="20ms"))
        yield running
