import contextlib
import itertools
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("integration", "fault", "servers"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.path.insert(0, str(HERE))

import pytest

import cluster as c
import herald as h
import servers

numbers = itertools.count(1)


def pytest_addoption(parser):
    with contextlib.suppress(ValueError):  # the other fault suites have the same
        parser.addoption("--long", action="store_true", help="more and longer")
    parser.addoption("--database", default="postgres,mysql,mongodb", help="kinds of databases to test with")


def pytest_configure(config):
    config.addinivalue_line("markers", "only(kinds): a test of these kinds of databases")
    config.addinivalue_line("markers", "long: only with --long")
    config.addinivalue_line("markers", "long_on(kinds): with these kinds of databases only with --long")
    assert os.access(h.BIN, os.X_OK), f"no program {h.BIN}: set HERALD_BIN"


def pytest_collection_modifyitems(config, items):
    """A test marked only("postgres") is there when that kind is asked for; one marked long, with --long."""
    kinds = config.getoption("--database").split(",")
    items[:] = [i for i in items if (m := i.get_closest_marker("only")) is None or set(m.args) & set(kinds)]
    if not config.getoption("--long"):
        items[:] = [i for i in items if not i.get_closest_marker("long") and not is_long_on(i)]


def is_long_on(item):
    marker = item.get_closest_marker("long_on")
    return marker is not None and item.callspec.params.get("server") in marker.args


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--database").split(",")
        for only in metafunc.definition.iter_markers("only"):
            kinds = [k for k in kinds if k in only.args]
        metafunc.parametrize("server", kinds, indirect=True, scope="session")


@pytest.fixture
def long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def server(request):
    """A database server for all tests of a kind; whoever kills it starts it again."""
    try:
        one = servers.SERVERS[request.param]()
    except servers.Unavailable as e:
        pytest.skip(f"{request.param}: {e}")
    with one:
        yield one


@pytest.fixture
def database(server, request):
    """An empty database of its own on the server."""
    if server.process is None:
        server.start()  # a test before this one failed half-way
    return c.database(server, re.sub(r"\W+", "_", f"t{next(numbers)}"))


@pytest.fixture
def nodes(tmp_path):
    """nodes(n, database, **environment): n herald processes on one database, started and ready."""
    made = []

    def make(n, database, start=True, **env):
        one = c.Cluster(tmp_path, database, n, **env)
        made.append(one)
        if start:
            one.start()
        return one

    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def sink(tmp_path):
    made = []

    def make(answer=None, **options):
        made.append(h.Sink(answer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
