"""A database that is not there when herald starts, and comes later."""
import pathlib
import sys

import pytest

import herald as h

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "servers"))
import servers  # noqa: E402


@pytest.fixture(params=list(servers.SERVERS))
def database(request, herald):
    """A server of each kind that this build knows and this machine has."""
    kind = servers.SERVERS[request.param]
    scheme = {"postgres": "postgresql", "mysql": "mysql", "mongodb": "mongodb"}[request.param]
    nowhere = herald(start=False, DATABASE_URL=f"{scheme}://herald:secret@127.0.0.1:1/herald")
    if "this build" in nowhere.run("migrate").stderr:
        pytest.skip(f"this build has no {request.param}")
    try:
        server = kind()
    except servers.Unavailable as e:
        pytest.skip(str(e))
    with server:
        yield server


def get(one, path):
    return one.api.get(path)


def answers(one):
    try:
        return get(one, "/livez").status == 200
    except OSError:
        return False


def test_herald_waits_for_its_database(herald, sink, database):
    receiver = sink()
    database.stop()
    one = herald(start=False, DATABASE_URL=database.url, WEBHOOK_URL=receiver.url, SEED_DATA="true")
    one.start(wait=False)
    h.eventually(lambda: answers(one), what="the API")

    assert get(one, "/readyz").status == 503
    health = get(one, "/health")
    assert health.status == 503
    assert health.json["status"] == "down"
    assert health.json["components"]["database"]["status"] == "down"
    refused = one.api.post("/api/v1/messages", {"phoneNumber": h.PHONE, "content": "early"})
    assert refused.status == 503
    assert refused.headers["Retry-After"]
    assert one.api.get("/api/v1/scheduler/status").status == 503
    assert get(one, "/metrics").status == 200
    assert len(one.log("the database is not there yet; herald goes on trying")) == 1

    # Nobody asks for anything: the dispatcher goes to work by itself.
    database.start()
    h.eventually(lambda: len(receiver.requests) == 10, 30, what="ten examples")
    one.wait_ready()
    assert len(one.log("the database is there")) == 1
    # Each worker finds it by itself; until then it answers 503.
    h.eventually(lambda: all(get(one, "/api/v1/messages/stats").status == 200 for _ in range(20)), 15,
                 what="all workers")
    assert one.stats()["total"] == 10
    assert one.wait_status(one.create("late"), "sent")


def test_stopping_does_not_wait_for_the_database(herald, database):
    database.stop()
    one = herald(start=False, DATABASE_URL=database.url)
    one.start(wait=False)
    h.eventually(lambda: answers(one), what="the API")
    assert one.stop() == 0


@pytest.mark.parametrize("database", ["postgres", "mysql"], indirect=True)  # FerretDB asks for no password here
def test_a_wrong_password_ends_the_start(herald, database):
    one = herald(start=False, DATABASE_URL=database.url.replace(servers.PASSWORD, "wrong"))
    one.start(wait=False)
    one.wait(expect=2)
