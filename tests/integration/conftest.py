import itertools
import os

import pytest

import herald as h


@pytest.fixture
def herald(tmp_path):
    """herald(**environment): starts a herald with its own directory and database; start=False leaves that to
    the test. All are stopped after it."""
    made = []
    numbers = itertools.count()

    def make(start=True, **env):
        directory = tmp_path / f"herald{next(numbers)}"
        directory.mkdir()
        one = h.Herald(directory, **env)
        made.append(one)
        if start:
            one.start()
        return one

    assert os.access(h.BIN, os.X_OK), f"no program {h.BIN}: set HERALD_BIN"
    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def sink():
    """sink(answer): starts a receiver; see herald.Sink."""
    made = []

    def make(answer=None, **options):
        made.append(h.Sink(answer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
