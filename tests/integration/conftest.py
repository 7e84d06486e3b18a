import itertools
import os
import pathlib
import shutil
import tempfile

import pytest

import herald as h


@pytest.fixture
def herald(tmp_path):
    """herald(**environment): starts a herald with its own directory (below `path`) and database; start=False leaves
    that to the test. All are stopped after it."""
    made = []
    numbers = itertools.count()

    def make(start=True, path=tmp_path, **env):
        directory = path / f"herald{next(numbers)}"
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
def memory_path(tmp_path):
    """A directory that is in memory where there is one: for files that nobody shall have to wait for."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    directory = tempfile.mkdtemp(prefix="herald-test-", dir="/dev/shm")
    yield pathlib.Path(directory)
    shutil.rmtree(directory, ignore_errors=True)


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
