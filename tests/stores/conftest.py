import itertools
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("integration", "servers", "cluster"):
    sys.path.insert(0, str(HERE.parent / folder))

import pytest

import herald as h
import servers


@pytest.fixture
def herald(tmp_path):
    """herald(**environment): a herald with its own directory and database, not started. Stopped after the test."""
    made = []
    numbers = itertools.count()

    def make(**env):
        directory = tmp_path / f"herald{next(numbers)}"
        directory.mkdir()
        made.append(h.Herald(directory, **env))
        return made[-1]

    assert os.access(h.BIN, os.X_OK), f"no program {h.BIN}: set HERALD_BIN"
    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def sink():
    made = []

    def make(answer=None):
        made.append(h.Sink(answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


def running(kind):
    try:
        server = kind()
    except servers.Unavailable as e:
        pytest.skip(str(e))
    with server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    yield from running(servers.Postgres)


@pytest.fixture(scope="module")
def mariadb():
    yield from running(servers.MariaDB)


@pytest.fixture(scope="module")
def ferretdb():
    yield from running(servers.FerretDB)
