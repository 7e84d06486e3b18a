"""Which nodes are there: /api/v1/nodes and `herald nodes`."""
import json
import pathlib
import sys

import pytest

import herald as h

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "servers"))
import servers  # noqa: E402


def nodes(one):
    a = one.api.get("/api/v1/nodes")
    assert a.status == 200, a
    return a.data


def test_a_node_is_listed_while_it_runs(herald, sink):
    one = herald(WEBHOOK_URL=sink().url, NODE_ID="here")
    listed = h.eventually(lambda: nodes(one), what="the first report")
    assert len(listed) == 1
    (node,) = listed
    assert node["id"] == "here"
    assert node["status"] == "up"
    assert node["role"] == "all"
    assert node["inFlight"] == 0
    assert node["version"] == one.run("version").stdout.split()[-1]
    assert node["startedAt"] <= node["lastSeenAt"]
    h.eventually(lambda: nodes(one)[0]["lastSeenAt"] > node["lastSeenAt"], what="another report")


def test_what_is_in_flight_is_told(herald, sink):
    one = herald(WEBHOOK_URL=sink(lambda request: h.hang).url, WEBHOOK_TIMEOUT_SECONDS=300)
    one.create_many(3)
    h.eventually(lambda: any(n["inFlight"] == 3 for n in nodes(one)), what="three in flight")


def test_a_node_without_a_dispatcher_is_listed_too(herald):
    one = herald(ROLE="api")
    (node,) = h.eventually(lambda: nodes(one), what="the first report")
    assert node["role"] == "api"
    assert node["bootId"]


def test_the_boot_is_that_of_the_owner_of_leases(herald, sink):
    one = herald(WEBHOOK_URL=sink().url)
    m = one.wait_status(one.create(), "sent")
    (node,) = h.eventually(lambda: nodes(one), what="the first report")
    (attempt,) = one.attempts(m)
    assert attempt["node"] == f'{node["id"]}/{node["bootId"]}'


def test_the_scheduler_key_opens_it(herald):
    one = herald()
    assert one.api.get("/api/v1/nodes", key=h.MESSAGES_KEY).status == 401
    assert one.api.get("/api/v1/nodes?x=1").status == 422


def test_the_command_shows_them(herald):
    one = herald(NODE_ID="here")
    h.eventually(lambda: nodes(one), what="the first report")
    shown = one.run("nodes", HERALD_URL=one.url)
    assert shown.returncode == 0, shown.stderr
    heading, line = shown.stdout.splitlines()
    assert heading.split()[:2] == ["NODE", "STATUS"]
    assert line.split()[:3] == ["here", "up", "all"]
    (node,) = json.loads(one.run("nodes", "--json", HERALD_URL=one.url).stdout)
    assert node["id"] == "here"


def test_the_others_see_who_falls_silent_and_who_leaves(herald):
    try:
        server = servers.Postgres()
    except servers.Unavailable as e:
        pytest.skip(str(e))
    with server:
        a = herald(start=False, DATABASE_URL=server.url, NODE_ID="a")
        if "this build" in a.run("migrate").stderr:
            pytest.skip("this build has no PostgreSQL")
        a.start()
        b = herald(DATABASE_URL=server.url, NODE_ID="b", ROLE="worker")
        c = herald(DATABASE_URL=server.url, NODE_ID="c", ROLE="api")

        def states():
            return {n["id"]: n["status"] for n in nodes(a)}

        h.eventually(lambda: states() == {"a": "up", "b": "up", "c": "up"}, what="three nodes")
        assert c.stop() == 0
        assert states()["c"] == "left"
        b.kill()
        assert states()["b"] == "up"
        h.eventually(lambda: states()["b"] == "silent", 60, what="silence")
        # A new start takes the place of the one that left; the one that died may yet be heard of.
        c.start()
        h.eventually(lambda: states()["c"] == "up", what="the return")
        assert [n["id"] for n in nodes(a)] == ["a", "b", "c"]
