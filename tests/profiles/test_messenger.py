"""What messenger has that no other profile has: two services, in one process or two, and consumers that fetch."""
import collections
import threading

import pytest

import herald as h
from herald import eventually
from profiles import provider_answers

QUICK = {"MESSAGE_SEND_INTERVAL": "50ms", "MESSAGE_BATCH_SIZE": 2, "AUTO_START_SCHEDULER": "false"}


@pytest.fixture
def services(tmp_path):
    """services(**env): the messenger API and the job scheduler as processes of their own, without any key; the API on
    SQLite, the scheduler on nothing. Returns both and the receiver."""
    made = []

    def make(answer=None, **env):
        sink = h.Sink(answer or provider_answers("json", 200))
        ports = {"SERVER_PORT": h.free_port(), "SERVER_SECOND_PORT": h.free_port()}
        api = h.Herald(tmp_path / "api", **ports)
        job = h.Herald(tmp_path / "job", SERVER_PORT=ports["SERVER_SECOND_PORT"])
        common = {"HERALD_PROFILE": "messenger", "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
                  **{k: str(v) for k, v in {**ports, **QUICK, **env}.items()}}
        api.env = {**common, "ROLE": "api", "NODE_ID": "api", "DATABASE_URL": f"sqlite:{tmp_path}/herald.db",
                   "SCHEDULER_URL": f"http://127.0.0.1:{job.port}"}
        job.env = {**common, "ROLE": "worker", "NODE_ID": "job", "WEBHOOK_URL": sink.url,
                   "MESSAGES_URL": f"http://127.0.0.1:{api.port}"}
        for one in (api, job):
            one.dir.mkdir()
            made.append(one)
        made.append(sink)
        api.start()
        job.start()
        return api, job, sink

    yield make
    for one in made:
        one.close() if isinstance(one, h.Sink) else one.cleanup()


def get(one, path, status=200):
    a = one.api.get(path, key=None)
    assert a.status == status, a
    assert a.json["status"] == status
    return a.json


def fill(api, n, first=1):
    """Messages cannot be made without a key; so by a herald of the same database, while the API is down."""
    api.stop()
    other = h.Herald(api.dir, SERVER_PORT=h.free_port(), DATABASE_URL=api.env["DATABASE_URL"],
                     ROLE="api", INVALID_MESSAGES="park")
    try:
        other.start()
        rows = [{"phoneNumber": h.PHONE, "content": f"message {i}"} for i in range(first, first + n)]
        a = other.api.post("/api/v1/messages/batch", rows)
        assert a.status == 201, a
        other.stop()
    finally:
        other.cleanup()
    api.start()
    return a.data["ids"]


def statuses(api):
    rows = []
    while True:
        page = get(api, f"/api/messenger/?limit=50&offset={len(rows)}")["data"]
        rows += page
        if len(page) < 50:
            return collections.Counter(m["status"] for m in rows)


def test_two_processes_without_a_key_or_a_database_for_the_second(services):
    api, job, sink = services()
    fill(api, 7)
    assert get(api, "/api/messenger/messenger-job-toggle?command=start")["data"] == "succeeded"
    assert get(job, "/job-scheduler/messenger/is-working")["data"] == "Working"
    eventually(lambda: statuses(api) == {"sent": 7})
    assert sorted(sink.contents()) == [f"message {i}" for i in range(1, 8)]
    assert get(api, "/api/messenger/messenger-job-toggle?command=start", 400)["internalCode"] == 400001
    assert get(api, "/api/messenger/messenger-job-toggle?command=stop")["data"] == "succeeded"
    assert get(job, "/job-scheduler/messenger/is-working")["data"] == "Not Working"
    instance = api.api.get("/profile/worker/api/v1/scheduler/jobs", key=None).data[0]
    assert instance["name"] == "messenger" and instance["finishedAt"] and instance["lastOffset"] == 7
    # Each has its own routes and not the other's.
    assert job.api.get("/api/messenger/", key=None).status == 404
    assert api.api.get("/job-scheduler/messenger/start", key=None).status == 404


def test_other_ports_are_enough(services):
    """Of the same file for both, as of the original: neither is told where the other is."""
    api, job, sink = services()
    for one, url in ((api, "SCHEDULER_URL"), (job, "MESSAGES_URL")):
        one.stop()
        del one.env[url]
    api.start()
    job.start()
    fill(api, 1)
    assert get(api, "/api/messenger/messenger-job-toggle?command=start")["data"] == "succeeded"
    eventually(lambda: sink.contents() == ["message 1"])


def test_without_the_other_service(services):
    api, job, _ = services()
    job.stop()
    assert get(api, "/api/messenger/messenger-job-toggle?command=start", 500)["internalCode"] == 0
    job.start()
    api.stop()
    assert get(job, "/job-scheduler/messenger/start", 500)["internalCode"] == 500001
    assert get(job, "/job-scheduler/messenger/stop", 500)["internalCode"] == 500002


def test_consumers_never_get_the_same_message_and_skip_none(services):
    """The original gave the same two to all who asked, and skipped some as others were committed."""
    api, job, _ = services()
    ids = fill(api, 60)
    seen, lock = [], threading.Lock()

    def consume():
        client = h.Client(api.port)
        while True:
            two = client.get("/api/messenger/get-two").json["data"]
            assert len(two) <= 2
            if not two:
                return
            with lock:
                seen.extend(m["id"] for m in two)
            for m in two:
                assert set(m) == {"id", "to", "content"}
                a = client.request("PUT", f"/api/messenger/commit/{m['id']}")
                assert a.status == 200 and a.json["data"] == "succeeded"

    threads = [threading.Thread(target=consume) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == ids
    assert statuses(api) == {"sent": 60}


@pytest.mark.parametrize("commits", ["at once", "later"])
def test_a_consumer_that_goes_on_by_offset_skips_none(services, commits):
    """As the original's job did, over a list that its own commits made shorter."""
    api, _, _ = services()
    ids = fill(api, 11)
    seen = []
    for offset in range(0, 12, 2):
        two = [m["id"] for m in get(api, f"/api/messenger/get-two?offset={offset}")["data"]]
        seen += two
        for id in two if commits == "at once" else ():
            api.api.request("PUT", f"/api/messenger/commit/{id}", key=None)
    assert seen == ids
    assert get(api, "/api/messenger/get-two?offset=12")["data"] == []


def test_a_commit_without_a_fetch_is_an_attempt(services):
    api, _, _ = services()
    (id,) = fill(api, 1)
    assert api.api.request("PUT", f"/api/messenger/commit/{id}", key=None).status == 200
    assert statuses(api) == {"sent": 1}
    api.stop()
    other = h.Herald(api.dir, SERVER_PORT=h.free_port(), DATABASE_URL=api.env["DATABASE_URL"], ROLE="api")
    try:
        other.start()
        (attempt,) = other.attempts(id)
        assert attempt["status"] == "sent" and attempt["startedAt"]
        other.stop()
    finally:
        other.cleanup()


@pytest.mark.parametrize("pacing", ["shared", "free"])
def test_what_is_fetched_and_not_committed_comes_back(services, pacing):
    api, _, _ = services(LEASE_DURATION="12s", WEBHOOK_TIMEOUT_SECONDS=1, RETRY_PACING=pacing)
    ids = fill(api, 3)
    assert [m["id"] for m in get(api, "/api/messenger/get-two?offset=1")["data"]] == ids[1:]
    assert [m["id"] for m in get(api, "/api/messenger/get-two?offset=-1")["data"]] == ids[:1]
    assert get(api, "/api/messenger/get-two")["data"] == []
    back = []
    eventually(lambda: back.extend(m["id"] for m in get(api, "/api/messenger/get-two")["data"]) or len(back) == 3,
               timeout=30, step=0.5)
    assert sorted(back) == ids


def test_a_phone_number_against_the_rule_is_invalid(services):
    api, job, sink = services()
    fill(api, 1)
    api.stop()
    other = h.Herald(api.dir, SERVER_PORT=h.free_port(), DATABASE_URL=api.env["DATABASE_URL"], ROLE="api")
    try:
        other.start()
        other.create("message 2", phone="+15551234567")
        other.stop()
    finally:
        other.cleanup()
    api.start()
    assert len(get(api, "/api/messenger/get-two?offset=1")["data"]) == 0
    get(api, "/api/messenger/messenger-job-toggle?command=start")
    eventually(lambda: statuses(api) == {"sent": 1, "invalid": 1})
    assert sink.contents() == ["message 1"]


def test_killed_at_will(services):
    api, job, sink = services(LEASE_DURATION="12s", WEBHOOK_TIMEOUT_SECONDS=1, MAX_LOST_CLAIMS=20, MAX_ATTEMPTS=20,
                              MESSAGE_SEND_INTERVAL="20ms")
    ids = fill(api, 60)
    get(api, "/api/messenger/messenger-job-toggle?command=start")
    for i, victim in enumerate((job, api, job, api)):
        sink.wait(10 * (i + 1))
        victim.kill()
        victim.start(wait=victim is api)
    eventually(lambda: statuses(api) == {"sent": 60}, timeout=40)
    deliveries = collections.Counter(sink.contents())
    assert set(deliveries) == {f"message {i}" for i in range(1, 61)}
    # None again but what a dead process had claimed and nobody knows the outcome of.
    api.stop()
    other = h.Herald(api.dir, SERVER_PORT=h.free_port(), DATABASE_URL=api.env["DATABASE_URL"], ROLE="api")
    try:
        other.start()
        for i, id in enumerate(ids, 1):
            attempts = [a["status"] for a in other.attempts(id)]
            assert deliveries[f"message {i}"] - 1 <= len([s for s in attempts if s != "sent"]), attempts
        other.stop()
    finally:
        other.cleanup()


def test_any_origin_may_ask(services):
    api, job, _ = services()
    for one, path in ((api, "/api/messenger/"), (job, "/job-scheduler/messenger/is-working")):
        a = one.api.get(path, key=None, headers={"Origin": "http://elsewhere.example"})
        assert a.status == 200 and a.headers["Access-Control-Allow-Origin"] == "*"
        # A script may set whatever header it likes.
        a = one.api.request("OPTIONS", path, key=None, headers={
            "Origin": "http://elsewhere.example", "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "x-requested-with"})
        assert a.status == 204 and "*" in a.headers["Access-Control-Allow-Headers"].split(", ")


def test_a_body_of_a_megabyte_may_come_along(services):
    """Routes that need none read over it, as the original did up to its limit."""
    api, _, _ = services()
    (id,) = fill(api, 1)
    path, kind = f"/api/messenger/commit/{id}", {"Content-Type": "application/json"}
    assert api.api.request("PUT", path, b" " * 1_000_000, kind, key=None).status == 200
    a = api.api.request("PUT", path, b" " * (2**20 + 1), kind, key=None)
    assert a.status == 413 and a.json == {"status": 413, "internalCode": 0, "message": "The body is too large"}
