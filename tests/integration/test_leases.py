"""Leases: messages that somebody else sends, over /api/v1/messages/lease and what belongs to it."""
import collections
import threading

import pytest

import herald as h

FOREVER = "1h"


def lease(one, limit=10, seconds=60, **more):
    a = one.api.post("/api/v1/messages/lease", {"limit": limit, "leaseSeconds": seconds, **more})
    assert a.status == 200, a
    return a.data


def act(one, verb, m, **body):
    return one.api.post(f"/api/v1/messages/{m['id']}/{verb}", {"token": m["token"], **body})


def commit(one, m, **body):
    a = act(one, "commit", m, **body)
    assert a.status == 200, a
    return a.data


@pytest.fixture
def api(herald):
    """A herald that hands out and never sends."""
    return lambda **env: herald(ROLE="api", **env)


def test_a_lease_ends_in_a_commit(api):
    one = api(MESSAGE_SEND_INTERVAL=FOREVER, MESSAGE_BATCH_SIZE=2)
    ids = one.create_many(3, prefix="Hi")
    got = lease(one, node="courier")
    assert [m["id"] for m in got["messages"]] == ids[:2]
    assert got["count"] == 2 and got["beat"] == "open" and got["run"] == 1 and got["more"] is False
    assert got["now"] < got["leaseUntil"] < got["nextRunAt"]
    m = got["messages"][0]
    assert m["phoneNumber"] == h.PHONE and m["content"] == "Hi 0" and m["attempt"] == 1
    assert one.get(m)["status"] == "sending"
    done = commit(one, m, messageId="theirs", httpStatus=202, durationMs=12.5)
    assert done["status"] == "sent" and done["messageId"] == "theirs"
    assert one.get(m)["sentAt"] == done["sentAt"]
    (attempt,) = one.attempts(m)
    assert attempt["status"] == "sent" and attempt["httpStatus"] == 202 and attempt["run"] == 1
    assert attempt["durationMs"] == 12.5 and attempt["node"].startswith("courier/")
    commit(one, got["messages"][1])
    (run,) = one.runs()
    assert run["node"] == "courier" and run["claimed"] == run["sent"] == 2 and run["finished"]
    assert one.stats()["sent"] == 2 and one.status()["messagesSent"] == 2
    cached = one.api.get("/api/v1/messages/cached").data
    assert cached[str(m["id"])] == {"messageId": "theirs", "sentAt": done["sentAt"]}
    assert one.metric('herald_attempts_total{outcome="sent"}') == 2
    assert one.metric("herald_leased_total") == 2


def test_the_beat_counts_leases(api):
    one = api(MESSAGE_SEND_INTERVAL=FOREVER, MESSAGE_BATCH_SIZE=3)
    one.create_many(9)
    got = [lease(one, 2) for _ in range(4)]
    assert [g["count"] for g in got] == [2, 1, 0, 0]
    assert [g["beat"] for g in got] == ["open", "join", "wait", "wait"]
    assert got[0]["more"] and not got[1]["more"]
    assert len({g["nextRunAt"] for g in got}) == 1
    assert {g.get("run") for g in got} == {1, None}
    one.scheduler("stop")
    assert lease(one)["beat"] == "stopped"
    assert lease(one, whenStopped=True)["beat"] == "wait"


def test_one_that_sends_itself_shares_the_beat_with_leases(herald, sink):
    s = sink()
    one = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="1s", MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
    one.create_many(8)
    one.scheduler("start")
    leased = []
    h.eventually(lambda: leased.extend(lease(one, 1)["messages"]) or one.stats()["pending"] == 0)
    for m in leased:
        commit(one, m)
    h.eventually(lambda: one.stats()["sent"] == 8)
    assert len(s.requests) + len(leased) == 8
    assert all(r["claimed"] <= 2 for r in one.runs())


def test_the_same_delivery_key_as_if_herald_had_sent(herald, sink):
    s = sink()
    one = herald(WEBHOOK_URL=s.url, AUTO_START_SCHEDULER="false")
    m = one.create("Hello")
    (leased,) = lease(one, whenStopped=True)["messages"]
    assert act(one, "fail", leased, error="busy", retryInSeconds=0).status == 200
    one.scheduler("start")
    one.wait_status(m, "sent")
    (request,) = s.requests
    assert request.headers["idempotency-key"] == leased["deliveryKey"]


def test_a_failure_is_retried_or_not(api):
    one = api(MAX_ATTEMPTS=2, RETRY_BACKOFF="50ms")
    m = one.create()
    (first,) = lease(one)["messages"]
    a = act(one, "fail", first, error="too busy", httpStatus=503)
    assert a.status == 200 and a.data["status"] == "pending" and a.data["lastError"] == "too busy"
    assert act(one, "fail", first, error="again").status == 409
    second = h.eventually(lambda: lease(one)["messages"])[0]
    assert second["attempt"] == 2 and second["token"] != first["token"]
    assert second["deliveryKey"] == first["deliveryKey"]
    assert act(one, "fail", second, error="still").data["status"] == "failed"
    assert [a["status"] for a in one.attempts(m)] == ["retry", "failed"]
    other = one.create()
    (only,) = lease(one)["messages"]
    assert only["id"] == other["id"]
    assert act(one, "fail", only, error="never", retry=False).data["status"] == "failed"


def test_success_is_a_fact_and_failure_an_opinion(api):
    one = api()
    m = one.create()
    (old,) = lease(one, seconds=0.2)["messages"]
    new = h.eventually(lambda: lease(one)["messages"], what="the end of the lease")[0]
    assert new["attempt"] == 2
    assert one.attempts(m)[0]["status"] == "lost"
    stale = act(one, "fail", old, error="late")
    assert stale.status == 409 and stale.json["code"] == 409003
    assert stale.json["details"] == {"status": "sending"}
    assert act(one, "extend", old).status == 409, "extended by a token that is over"
    late = [{"id": m["id"], "token": old["token"], "outcome": "failed"}]
    a = one.api.post("/api/v1/messages/lease/outcomes", {"outcomes": late})
    assert a.data["applied"] == 0 and one.get(m)["status"] == "sending"
    commit(one, old, messageId="first")
    assert one.get(m)["messageId"] == "first"
    stale = act(one, "commit", new, messageId="second")
    assert stale.status in (200, 409)
    assert one.get(m)["messageId"] == "first"
    assert act(one, "fail", new).status == 409


def test_a_repeated_commit_is_no_conflict(api):
    one = api()
    m = one.create()
    (leased,) = lease(one)["messages"]
    first = commit(one, leased, messageId="x")
    assert commit(one, leased, messageId="x")["sentAt"] == first["sentAt"]
    assert len(one.attempts(m)) == 1


def test_a_lease_can_be_extended(api):
    one = api()
    one.create()
    (m,) = lease(one, seconds=0.3)["messages"]
    a = act(one, "extend", m, leaseSeconds=60)
    assert a.status == 200
    assert lease(one)["now"] < a.data["leaseUntil"]
    other = one.create()
    (short,) = lease(one, seconds=0.3)["messages"]
    assert short["id"] == other["id"]
    again = h.eventually(lambda: lease(one)["messages"], what="the end of the short one")
    assert [x["id"] for x in again] == [other["id"]]
    a = one.api.post("/api/v1/messages/lease/extend", {
        "leases": [{"id": x["id"], "token": x["token"]} for x in (m, short, *again)], "leaseSeconds": 30})
    assert a.status == 200 and a.data["extended"] == 2
    commit(one, m)


def test_many_outcomes_in_one_call(api):
    one = api()
    ids = one.create_many(6)
    messages = lease(one)["messages"]
    kinds = ["sent", "retry", "failed", "unknown", "release", "sent"]
    outcomes = [{"id": m["id"], "token": m["token"], "outcome": k} for m, k in zip(messages, kinds)]
    outcomes[0]["messageId"] = "a"
    outcomes[1].update(error="busy", retryInSeconds=3600)
    outcomes[5]["id"] = ids[-1] + 100
    a = one.api.post("/api/v1/messages/lease/outcomes", {"outcomes": outcomes})
    assert a.status == 200, a
    assert a.data["applied"] == 5
    assert [o["applied"] for o in a.data["outcomes"]] == [True] * 5 + [False]
    assert a.data["outcomes"][0]["sentAt"] == one.get(ids[0])["sentAt"]
    assert [one.get(i)["status"] for i in ids] == ["sent", "pending", "failed", "unknown", "pending", "sending"]
    assert one.get(ids[4])["attempts"] == 0
    again = one.api.post("/api/v1/messages/lease/outcomes", {"outcomes": outcomes})
    assert again.data["applied"] == 0
    assert all(len(one.attempts(i)) == 1 for i in ids[:4])


def test_strict_mode_parks_what_ran_out(api):
    one = api(DELIVERY_MODE="strict")
    m = one.create()
    lease(one, seconds=0.2)
    h.eventually(lambda: not lease(one)["messages"] and one.get(m)["status"] == "unknown")


def test_a_lease_outlives_the_process_that_gave_it(api):
    one = api()
    m = one.create()
    (leased,) = lease(one)["messages"]
    one.kill()
    one.start(ROLE="all", AUTO_START_SCHEDULER="true")  # it recovers what its own past held, and not this
    other = one.create()
    h.eventually(lambda: one.get(other)["attempts"])
    assert one.get(m)["status"] == "sending"
    commit(one, leased)


def test_no_two_get_the_same_message(api):
    one = api(API_THREADS=2, STORE_WORKERS=4)
    one.create_many(400)
    seen = collections.Counter()
    lock = threading.Lock()

    def take():
        client = one.client()
        while True:
            got = client.post("/api/v1/messages/lease", {"limit": 7}).data["messages"]
            if not got:
                return
            with lock:
                seen.update(m["id"] for m in got)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(seen) == 400 and set(seen.values()) == {1}


@pytest.mark.parametrize("path, body, field", [
    ("lease", {"limit": 0}, "limit"),
    ("lease", {"limit": 501}, "limit"),
    ("lease", {"leaseSeconds": "60"}, "leaseSeconds"),
    ("lease", {"node": "two words"}, "node"),
    ("lease", {"whenStopped": 1}, "whenStopped"),
    ("lease", {"lease": 1}, "lease"),
    ("lease", [], "body"),
    ("1/commit", {}, "token"),
    ("1/commit", {"token": "no"}, "token"),
    ("1/commit", {"token": "1.1.1.1", "error": "x"}, "error"),
    ("1/fail", {"token": "1.1.1.1", "retry": "yes"}, "retry"),
    ("1/fail", {"token": "1.1.1.1", "durationMs": -1}, "durationMs"),
    ("1/extend", {"token": "1.1.1.1", "leaseSeconds": 0}, "leaseSeconds"),
    ("lease/outcomes", {"outcomes": []}, "outcomes"),
    ("lease/outcomes", {"outcomes": [{"id": 1, "token": "1.1.1.1", "outcome": "lost"}]}, "0.outcome"),
    ("lease/extend", {"leases": [{"token": "1.1.1.1"}]}, "0.id"),
])
def test_wrong_fields_are_named(api, path, body, field):
    a = api().api.post(f"/api/v1/messages/{path}", body)
    assert a.status == 422 and a.json["code"] == 422001, a
    assert list(a.json["details"]) == [field]


def test_unknown_messages_are_not_found(api):
    one = api()
    m = {"id": 99, "token": "1.1.1.1"}
    assert [act(one, verb, m).status for verb in ("commit", "fail", "extend")] == [404] * 3
    assert one.api.post("/api/v1/messages/lease", b"{").status == 400
    assert one.api.post("/api/v1/messages/lease").status == 200  # all fields are optional
    assert one.api.post("/api/v1/messages/lease", {}, key="wrong").status == 401


@pytest.mark.parametrize("how", ["reported", "lost"])
def test_retries_beside_the_beat_come_unasked(api, how):
    """With RETRY_PACING=free the beat leaves them alone, and nobody but the leaseholder is there to take them."""
    one = api(MESSAGE_SEND_INTERVAL=FOREVER, MESSAGE_BATCH_SIZE=1, RETRY_PACING="free", RETRY_BACKOFF="0")
    ids = one.create_many(2)
    (m,) = lease(one, seconds=0.2)["messages"]
    if how == "reported":
        assert act(one, "fail", m, retry=True).status == 200
    assert lease(one, retries=False)["messages"] == []
    got = h.eventually(lambda: (g := lease(one))["messages"] and g)
    assert [(x["id"], x["attempt"]) for x in got["messages"]] == [(ids[0], 2)] and "run" not in got
    commit(one, got["messages"][0])
    again = lease(one)
    assert again["messages"] == [] and again["beat"] == "wait" and again["nextRunAt"]
