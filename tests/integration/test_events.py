"""GET /api/v1/events and /api/v1/stats/history, as a page that stays open sees them."""
import socket
import time

import pytest

from events import Events
from herald import MESSAGES_KEY, PHONE, SCHEDULER_KEY, SLOW, eventually, reply

MESSAGES = {"x-ins-auth-key": MESSAGES_KEY}
SCHEDULER = {"Authorization": f"Bearer {SCHEDULER_KEY}"}
BOTH = MESSAGES | SCHEDULER


@pytest.fixture
def follow():
    """follow(herald, last=None, **keys): an open stream, closed after the test."""
    made = []

    def make(*a, **kw):
        made.append(Events(*a, **kw))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_the_way_of_a_message(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink().url)
    e = follow(h, **BOTH)
    assert e.answer.getheader("Content-Type") == "text/event-stream"
    assert e.answer.getheader("Cache-Control") == "no-store"
    hello = e.wait("hello")
    assert hello["node"] == "test" and hello["role"] == "all" and hello["sees"] == ["messages", "scheduler"]
    assert e.wait("scheduler")["running"] is True
    e.wait("counts", lambda c: c["total"] == 0)

    m = h.create("hello")
    a = e.wait("attempt")
    assert a == {**a, "messageId": m["id"], "phoneNumber": PHONE, "status": "sent", "attempt": 1, "httpStatus": 202,
                 "node": "test"}
    assert a["durationMs"] > 0 and "error" not in a
    begun = e.wait("run", lambda r: r["phase"] == "begun")
    assert begun["id"] == a["run"] and begun["claimed"] == 1
    c = e.wait("counts", lambda c: c["sent"] == 1 and c["pending"] == 0)
    assert c["total"] == 1 and c["skippedAttempts"] == 0
    assert {"accepted", "sent", "retried", "failed", "unknown"} == set(c["perSecond"])
    # Ids rise, and only what can be repeated has one.
    ids = [int(i.split("-")[1]) for _, i, _ in e.seen if i]
    assert ids == sorted(set(ids)) and ids
    assert all(i is None for kind, i, _ in e.seen if kind in ("hello", "counts"))


def test_ids_are_shown_as_elsewhere(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink().url, MESSAGE_ID_FORMAT="uuid")
    e = follow(h, **BOTH)
    e.wait("hello")
    m = h.create("hello")
    assert e.wait("attempt")["messageId"] == m["id"] and len(m["id"]) == 36


def test_masked_numbers_of_any_form(herald, sink, follow):
    """Without a messages key: no short number is told whole, and no character is cut in two."""
    h = herald(WEBHOOK_URL=sink(lambda r: reply(400)).url, PHONE_PATTERN="^.{1,20}$")
    scheduler = follow(h, **SCHEDULER)
    scheduler.wait("hello")
    for phone, masked in (("112", "1••"), ("+90555", "+•••••"), ("5551234", "5•••234"), ("üğü-şçö", "•••••••"),
                          ("tel:ö4567", "t•••••567")):
        m = h.api.post("/api/v1/messages", {"phoneNumber": phone, "content": "masked"}).data
        assert scheduler.wait("attempt", lambda a, m=m: a["messageId"] == m["id"])["phoneNumber"] == masked


def test_what_each_key_sees(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink(lambda r: reply(400, b"no such number: +905551234567")).url)
    messages, scheduler = follow(h, **MESSAGES), follow(h, **SCHEDULER)
    messages.wait("hello")
    scheduler.wait("hello")
    h.create("secret")
    a = messages.wait("attempt")
    assert a["status"] == "failed" and a["phoneNumber"] == PHONE and "no such number" in a["error"]
    b = scheduler.wait("attempt")
    assert b["phoneNumber"] == "+" + "•" * 9 + "567" and b["error"] == "HTTP 400"
    h.scheduler("stop")
    scheduler.wait("scheduler", lambda s: not s["running"])
    for one in (messages, scheduler):
        one.wait("counts", lambda c: c["failed"] == 1)
    assert not [kind for kind, _, _ in messages.seen if kind in ("scheduler", "run", "alert")]
    assert "secret" not in str(scheduler.seen) and PHONE not in str(scheduler.seen)


def test_keys(herald):
    h = herald()
    assert h.api.get("/api/v1/events", key=None).status == 401
    assert h.api.get("/api/v1/events", key="wrong").status == 401
    assert h.api.get("/api/v1/stats/history", key=None).status == 401
    for key in (MESSAGES_KEY, SCHEDULER_KEY):
        assert h.api.get("/api/v1/stats/history", key=key).status == 200
    assert h.api.request("HEAD", "/api/v1/events", key=MESSAGES_KEY).status == 200
    assert h.api.get("/api/v1/events?x=1", key=MESSAGES_KEY).status == 422
    closed = herald(MESSAGES_API_KEY=None, SCHEDULER_API_KEY=None)
    assert closed.api.get("/api/v1/events", key="any").status == 500


def test_an_alert(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink(lambda r: reply(410)).url)
    e = follow(h, **SCHEDULER)
    e.wait("hello")
    h.create()
    assert e.wait("alert")["alert"] == "consecutive_all_fail"
    e.wait("scheduler", lambda s: not s["running"])


def test_going_on(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink().url)
    e = follow(h, **MESSAGES)
    first = h.create("1")
    e.wait("attempt")
    last = e.last_id()
    e.close()
    # One after the other: their answers could come in any order.
    missed = [h.wait_status(h.create(c), "sent")["id"] for c in "23"]
    again = follow(h, last=last, **MESSAGES)
    eventually(lambda: len(again.of("attempt")) == 2)
    assert [a["messageId"] for a in again.of("attempt")] == missed and first["id"] not in missed
    assert not again.of("reset")
    # All was had: nothing is repeated.
    third = follow(h, last=again.last_id(), **MESSAGES)
    third.wait("counts")
    assert not third.of("attempt") and not third.of("reset")
    # An id that this process does not know: too new, of another life, not one at all.
    for wrong in (last[:13] + "999999", "0" * 12 + "-1", "x", last[:12], last + "x", "-" * 40, last[:13] + "-1"):
        reset = follow(h, last=wrong, **MESSAGES)
        assert reset.wait("reset") == {"reason": "unknown id"}
        reset.wait("counts")
        assert not reset.of("attempt")
        reset.close()
    h.stop()
    h.start()
    assert follow(h, last=last, **MESSAGES).wait("reset")


def test_many_are_sampled(herald, sink, follow):
    h = herald(WEBHOOK_URL=sink().url, AUTO_START_SCHEDULER="false", SEND_CONCURRENCY=64)
    n = 3000
    h.create_many(n)
    began = time.monotonic()
    e = follow(h, **BOTH)
    e.wait("counts", lambda c: c["pending"] == n)
    h.scheduler("start")
    h.wait_stats(sent=n)
    e.wait("counts", lambda c: c["sent"] == n and c["inFlight"] == 0)
    eventually(lambda: sum(c["skippedAttempts"] for c in e.of("counts")) + len(e.of("attempt")) == n)
    assert len(e.of("counts")) < 10 + 2 * (time.monotonic() - began)  # one a second, and when somebody steers


def test_a_reader_that_takes_nothing(herald, sink):
    h = herald(WEBHOOK_URL=sink(lambda r: reply(500, b"x" * 150)).url, AUTO_START_SCHEDULER="false",
               RETRY_BACKOFF="1ms", RETRY_PACING="free", MAX_ATTEMPTS=100)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    slow.connect(("127.0.0.1", h.port))
    slow.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nx-ins-auth-key: {MESSAGES_KEY}\r\n\r\n".encode())
    before = h.rss()
    h.create_many(20)
    h.scheduler("start")
    h.wait_stats(failed=20, timeout=150)
    assert h.rss() - before < 40 * SLOW * 1024 * 1024
    slow.close()


def test_too_many_streams(herald, follow):
    h = herald(API_MAX_CONNECTIONS=200)
    streams = [follow(h, **MESSAGES) for _ in range(64)]
    assert all(s.status == 200 for s in streams)
    a = follow(h, **MESSAGES)
    assert a.status == 503 and a.answer.getheader("Retry-After")
    for s in streams:
        s.wait("hello")
    # One that goes away is noticed when it is next spoken to.
    streams[0].close()
    h.create()

    def room():
        h.create()
        one = follow(h, **MESSAGES)
        return one.status == 200
    eventually(room, step=0.2)


def test_a_shutdown_ends_them_at_once(herald, follow):
    h = herald()
    streams = [follow(h, **BOTH) for _ in range(5)]
    for s in streams:
        s.wait("counts")
    h.stop()
    for s in streams:
        assert s.over.wait(30)
    assert [d["cutOff"] for d in h.log("shutdown: API requests are answered")] == [0]


def test_history(herald, sink):
    h = herald(WEBHOOK_URL=sink(lambda r: reply(500 if "bad" in r.json["content"] else 202)).url, MAX_ATTEMPTS=1)
    h.create_many(5)
    h.create("bad")
    h.wait_stats(sent=5, failed=1)

    def figures(**query):
        q = "&".join(f"{k}={v}" for k, v in query.items())
        a = h.api.get("/api/v1/stats/history" + (q and "?" + q), key=MESSAGES_KEY)
        assert a.status == 200, a
        d = a.data
        for name in ("accepted", "sent", "retried", "failed", "unknown", "backlog", "p50Ms", "p95Ms", "p99Ms"):
            assert len(d[name]) == d["points"], name
        return d
    d = eventually(lambda: next((d for d in [figures()] if sum(d["sent"]) == 5 and sum(d["failed"]) == 1), None))
    assert d["node"] == "test" and d["stepSeconds"] == 1 and d["resolution"] == "second"
    assert sum(d["accepted"]) == 6 and abs(d["start"] + d["points"] - time.time()) < 30
    spoken = [i for i in range(d["points"]) if d["sent"][i] + d["failed"][i]]
    for i in spoken:
        assert 0 < d["p50Ms"][i] <= d["p95Ms"][i] <= d["p99Ms"][i] < 20000 * SLOW
    assert any(b is not None for b in d["backlog"])
    # What was had once is had again, and `since` leaves out the rest.
    at = d["start"] + spoken[-1]
    later = figures(since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))
    assert later["start"] == at and later["sent"][0] == d["sent"][spoken[-1]]
    future = figures(since="2100-01-01T00:00:00Z")
    assert future["points"] == 0 and future["sent"] == []
    minutes = figures(resolution="minute")
    assert minutes["stepSeconds"] == 60 and minutes["start"] % 60 == 0
    assert h.api.get("/api/v1/stats/history?resolution=hour", key=MESSAGES_KEY).status == 422
