import itertools
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("integration", "servers"):
    sys.path.insert(0, str(HERE.parent / folder))
sys.path.insert(0, str(HERE))

import pytest

import herald as h
import profiles
import servers
from redis_server import PROGRAM, Redis

numbers = itertools.count(1)
SPECS = profiles.load_all()


def pytest_configure(config):
    assert os.access(h.BIN, os.X_OK), f"no program {h.BIN}: set HERALD_BIN"
    assert PROGRAM, "no redis-server (package redis-tools)"


@pytest.fixture(scope="session")
def database_servers():
    """kind -> the server, started when first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            try:
                made[kind] = servers.SERVERS[kind]()
            except servers.Unavailable as e:
                pytest.skip(f"{kind}: {e}")
        return made[kind]
    yield get
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def place(database_servers, tmp_path_factory):
    """place(name, answer): a new place for the profile, with a database of its own."""
    made = []

    def make(name, answer=None):
        spec = SPECS[name]
        directory = tmp_path_factory.mktemp(name)
        database = f"p{os.getpid()}_{next(numbers)}"
        server = database_servers(spec["database"])
        if spec["database"] == "postgres":
            server.sql(f"CREATE DATABASE {database}", "postgres")
        elif spec["database"] == "mysql":
            server.sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
        url = server.url.rpartition("/")[0] + "/" + database
        (directory / "redis").mkdir()
        r = Redis(directory / "redis").start()
        sink = h.Sink(answer or profiles.provider_answers(spec["sending"]["message_id"], spec["sending"].get("status", 202)))
        p = profiles.Place(name, spec, directory, url, r, sink)
        p.heralds = []
        made.append(p)
        return p

    yield make
    for p in made:
        for one in p.heralds:
            one.cleanup()
        p.sink.close()
        p.redis.close()


@pytest.fixture(scope="module")
def run(place):
    """run(place, **env): a started herald there; stopped after the module's tests."""
    def start(p, **env):
        one = p.herald(**env)
        p.heralds.append(one)
        one.start()
        return one
    return start
