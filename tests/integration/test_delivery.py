"""From an accepted message to what the receiver gets, and what is remembered of it."""
import base64
import datetime
import email.utils
import hashlib
import hmac
import json
import re
import time

import pytest

from herald import PHONE, SLOW, Sink, eventually, free_port, hang, reply, reset

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
CORRECTED = 0.1  # by so much the wall clock may be set forward while something waits by it


def from_now(text):
    """Seconds until then."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - time.time()


def failing(status, times, **headers):
    """Answers `status` to the first `times` requests of each message, then the usual."""
    return lambda r: reply(status, {"error": "no"}, headers) if r.nth <= times else reply()


# --- one good message -----------------------------------------------------------------------------------


def test_a_message_reaches_the_receiver_as_the_contract_says(herald, sink):
    s = sink(lambda r: reply(202, {"message": "Accepted", "messageId": "67f2f8a8-ea58-4ed0-a6f9-ff217d4d849"}))
    h = herald(WEBHOOK_URL=s.url)
    m = h.create("Grüße, 🌍 \"quoted\"\n")
    assert m["status"] == "pending" and m["attempts"] == 0 and "sentAt" not in m
    sent = h.wait_status(m, "sent")
    assert sent["messageId"] == "67f2f8a8-ea58-4ed0-a6f9-ff217d4d849"
    assert RFC3339.fullmatch(sent["sentAt"]) and sent["attempts"] == 1

    [r] = s.requests
    assert r.line == "POST /hook HTTP/1.1"
    assert r.json == {"to": PHONE, "content": "Grüße, 🌍 \"quoted\"\n"}
    assert list(r.json) == ["to", "content"]
    assert r.headers["content-type"] == "application/json"
    assert r.headers["user-agent"].startswith("herald/")
    assert r.headers["idempotency-key"] and r.headers["idempotency-key"] == r.headers["webhook-id"]
    for absent in ("x-ins-auth-key", "webhook-signature", "webhook-timestamp", "expect"):
        assert absent not in r.headers

    [attempt] = h.attempts(m)
    assert attempt["attempt"] == 1 and attempt["httpStatus"] == 202 and RFC3339.fullmatch(attempt["startedAt"])


def test_what_was_sent_is_cached(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url)
    ids = h.create_many(5)
    h.wait_stats(sent=5)

    def cached():
        data = h.api.get("/api/v1/messages/cached").data
        return data if len(data) == 5 else None
    data = eventually(cached)
    for i in ids:
        m = h.get(i)
        assert data[str(i)] == {"messageId": m["messageId"], "sentAt": m["sentAt"]}


def test_a_success_without_an_id_is_sent_all_the_same(herald, sink):
    answers = iter([reply(204, b""), reply(200, b"OK"), reply(202, {"messageId": 17}), reply(202, b"{\"messageId\":")])
    s = sink(lambda r: next(answers))
    h = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=1)
    ids = h.create_many(4)
    h.wait_stats(sent=4)
    for i in (ids[0], ids[1], ids[3]):
        assert "messageId" not in h.get(i)
    assert len(s.requests) == 4


def test_the_id_may_come_in_a_header(herald, sink):
    s = sink(lambda r: reply(200, b"thanks", {"X-Request-Id": "abc-1"}))
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_MESSAGE_ID="header:x-request-id")
    assert h.wait_status(h.create(), "sent")["messageId"] == "abc-1"


def test_the_id_may_lie_deep_in_the_answer(herald, sink):
    s = sink(lambda r: reply(200, {"data": [{"id/x": "deep"}]}))
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_MESSAGE_ID="json:/data/0/id~1x")
    assert h.wait_status(h.create(), "sent")["messageId"] == "deep"


def test_auth_key(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_AUTH_KEY="INS.me1x9uMcyYGlhKKQVPoc")
    h.wait_status(h.create(), "sent")
    assert s.requests[0].headers["x-ins-auth-key"] == "INS.me1x9uMcyYGlhKKQVPoc"


def test_signatures_verify(herald, sink):
    keys = [bytes(range(32)), bytes(range(100, 124))]
    secrets = ["whsec_" + base64.b64encode(k).decode() for k in keys]
    s = sink(failing(500, 1))
    h = herald(WEBHOOK_URL=s.url, WEBHOOK_SECRET=",".join(secrets), RETRY_BACKOFF="1100ms")
    h.wait_status(h.create("signed ✓"), "sent")
    assert len(s.requests) == 2
    for r in s.requests:
        stamp = r.headers["webhook-timestamp"]
        assert abs(int(stamp) - r.at) < 30
        signed = r.headers["webhook-id"].encode() + b"." + stamp.encode() + b"." + r.body
        want = {"v1," + base64.b64encode(hmac.new(k, signed, hashlib.sha256).digest()).decode() for k in keys}
        assert set(r.headers["webhook-signature"].split(" ")) == want
    # The id is of the message, the time of the attempt.
    first, second = s.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]


def test_connections_are_kept_and_bounded(herald, sink):
    s = sink(lambda r: reply(delay=0.005))
    h = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=4)
    h.create_many(200)
    h.wait_stats(sent=200)
    assert s.most_open <= 4
    assert s.connections <= 8, "requests do not share connections"


# --- failures and retries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failures_are_retried(herald, sink, status):
    s = sink(failing(status, 2))
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="50ms")
    m = h.wait_status(h.create(), "sent")
    assert m["attempts"] == 3
    assert len(s.requests) == 3 and len({r.key for r in s.requests}) == 1
    assert len({r.headers["webhook-id"] for r in s.requests}) == 1
    assert len({r.body for r in s.requests}) == 1
    assert [a["httpStatus"] for a in h.attempts(m)] == [status, status, 202]


@pytest.mark.parametrize("status", [300, 301, 302, 307, 304, 400, 401, 403, 404, 409, 422])
def test_lasting_failures_are_final(herald, sink, status):
    elsewhere = sink()
    s = sink(lambda r: reply(status, b"" if status == 304 else b"no", {"Location": elsewhere.url}))
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="10ms")
    m = h.wait_status(h.create(), "failed")
    assert m["attempts"] == 1 and str(status) in m["lastError"]
    assert "sentAt" not in m and "messageId" not in m
    time.sleep(0.2)
    assert len(s.requests) == 1 and not elsewhere.requests


def test_backoff_grows_and_ends(herald, sink):
    s = sink(failing(500, 99))
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="200ms,600ms", MAX_ATTEMPTS=4)
    m = h.wait_status(h.create(), "failed")
    assert m["attempts"] == 4 and "500" in m["lastError"]
    at = [r.mono for r in s.requests]
    gaps = [b - a for a, b in zip(at, at[1:])]
    assert len(gaps) == 3
    for gap, least in zip(gaps, (0.2, 0.6, 0.6)):
        assert gap >= least - CORRECTED


def test_what_waits_says_until_when(herald, sink):
    h = herald(WEBHOOK_URL=sink(failing(500, 1)).url, RETRY_BACKOFF="1h")
    m = h.create()
    waiting = eventually(lambda: (now := h.get(m))["status"] == "pending" and now["attempts"] == 1 and now)
    assert "500" in waiting["lastError"]
    assert RFC3339.fullmatch(waiting["nextAttemptAt"])
    assert 0.95 * 3600 < from_now(waiting["nextAttemptAt"]) < 1.21 * 3600  # jitter included


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(herald, sink, form):
    def answer(r):
        if r.nth > 1:
            return reply()
        when = "2" if form == "seconds" else email.utils.formatdate(time.time() + 3, usegmt=True)
        return reply(429, b"", {"Retry-After": when})
    s = sink(answer)
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="10ms")
    h.wait_status(h.create(), "sent")
    first, second = s.requests
    assert second.mono - first.mono >= 2 - CORRECTED


def test_absurd_retry_after_does_not_break_anything(herald, sink):
    values = iter(["-1", "99999999999999999999", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""])
    s = sink(lambda r: reply(503, b"", {"Retry-After": next(values)}) if r.nth == 1 else reply())
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="20ms", SEND_CONCURRENCY=1)
    ids = h.create_many(5)
    h.wait_stats(sent=4, pending=1)
    [far] = [m for m in map(h.get, ids) if m["status"] == "pending"]
    assert 9.9 * 3600 < from_now(far["nextAttemptAt"]) <= 12.01 * 3600  # capped at 10 h, jitter included


def test_a_receiver_that_is_away_for_a_while(herald, sink):
    port = free_port()
    h = herald(WEBHOOK_URL=f"http://127.0.0.1:{port}/hook", RETRY_BACKOFF="200ms", MAX_ATTEMPTS=100)
    m = h.create()
    eventually(lambda: h.get(m)["attempts"] >= 2)
    assert h.get(m)["lastError"]
    s = sink(port=port)
    m = h.wait_status(m, "sent")
    assert len(s.requests) == 1
    assert [a for a in h.attempts(m) if a.get("httpStatus")][-1]["httpStatus"] == 202


def test_gone_stops_the_scheduler_and_raises_the_alert(herald, sink):
    alerts = sink()
    s = sink(lambda r: reply(410, b"gone"))
    h = herald(WEBHOOK_URL=s.url, ALERT_WEBHOOK_URL=alerts.url, MESSAGE_SEND_INTERVAL="50ms",
               MESSAGE_BATCH_SIZE=1)
    ids = h.create_many(20)
    eventually(lambda: not h.status()["running"])
    eventually(lambda: h.stats()["sending"] == 0)
    stats = h.stats()
    assert stats["failed"] >= 1 and stats["pending"] >= 10 and stats["failed"] + stats["pending"] == 20
    seen = len(s.requests)
    assert seen == stats["failed"]
    time.sleep(0.3)
    assert len(s.requests) == seen
    alerts.wait(1)
    check_alert(alerts.requests[0])
    assert h.get(ids[0])["status"] == "failed"


def check_alert(request):
    body = request.json
    assert list(body) == ["alert", "runNumber", "consecutiveFailures", "messagesInBatch", "timestamp", "message"]
    assert body["alert"] == "consecutive_all_fail"
    assert RFC3339.fullmatch(body["timestamp"]) and isinstance(body["message"], str) and body["message"]
    for k in ("runNumber", "consecutiveFailures", "messagesInBatch"):
        assert isinstance(body[k], int) and body[k] >= 1
    return body


def test_alert_after_runs_in_which_every_message_failed(herald, sink):
    alerts = sink()
    good = set()
    s = sink(lambda r: reply() if r.json["content"] in good else reply(400, b""))
    good.update({"message 1", "message 6"})
    h = herald(WEBHOOK_URL=s.url, ALERT_WEBHOOK_URL=alerts.url, ALERT_ITERATION_COUNT=3,
               MESSAGE_SEND_INTERVAL="20ms", MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
    h.create_many(14)
    # Runs: (0 1) has a success, (2 3) (4 5) fail, (6 7) has a success, (8 9) (10 11) (12 13) fail: one alert. Each is
    # over before the next, since they count in the order in which they end.
    for done in range(2, 16, 2):
        assert not alerts.requests
        a = eventually(lambda: (a := h.api.post("/api/v1/scheduler/run")).status == 200 and a, what="the next beat")
        assert a.data["claimed"] == 2
        eventually(lambda: (now := h.stats())["failed"] + now["sent"] == done, what="the end of the run")
    assert h.stats()["sent"] == 2
    h.scheduler("start")
    alerts.wait(1)
    body = check_alert(alerts.requests[0])
    assert body["consecutiveFailures"] == 3 and body["messagesInBatch"] == 2
    status = eventually(lambda: (now := h.status())["lastAlertSentAt"] and now, what="the time of the alert")
    assert RFC3339.fullmatch(status["lastAlertSentAt"]) and status["consecutiveAllFailCount"] == 3
    assert status["running"]
    time.sleep(0.5)
    assert len(alerts.requests) == 1  # beats without work are no failures


def test_failure_rate_fails_without_a_request(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="10ms", MAX_ATTEMPTS=3, AUTO_START_SCHEDULER="false")
    h.scheduler("start", {"failureRate": 1})
    assert h.status()["failureRate"] == 1
    m = h.wait_status(h.create(), "failed")
    assert m["attempts"] == 3 and not s.requests
    h.scheduler("stop")
    h.scheduler("start", {"failureRate": 0})
    h.wait_status(h.create(), "sent")
    assert len(s.requests) == 1


# --- what is sent, and when ---------------------------------------------------------------------------------


def test_content_is_cut_after_the_maximum_was_lowered(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, AUTO_START_SCHEDULER="false")
    long, exact = h.create("🌍é" * 20), h.create("0123456789")
    h.stop()
    h.start(MESSAGE_MAX_CONTENT_LENGTH=10)
    h.scheduler("start")
    h.wait_stats(sent=2)
    by_content = s.contents()
    assert sorted(by_content) == sorted(["🌍é🌍é🌍é🌍...", "0123456789"])
    assert h.get(long)["content"] == "🌍é" * 20  # what was asked for stays on record
    assert h.get(exact)["content"] == "0123456789"


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_order(herald, sink, order):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_ORDER=order, SEND_CONCURRENCY=1, AUTO_START_SCHEDULER="false",
               MESSAGE_SEND_INTERVAL="50ms", MESSAGE_BATCH_SIZE=3)
    h.create_many(12)
    h.scheduler("start")
    h.wait_stats(sent=12)
    want = [f"message {i}" for i in range(12)]
    assert s.contents() == (want if order == "fifo" else want[::-1])


def test_send_at(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url)
    at = time.time() + 1.5
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
    later = h.create("later", sendAt=stamp)
    assert later["sendAt"] == stamp
    h.wait_status(h.create("now"), "sent")
    assert h.get(later)["status"] == "pending" or time.time() > at
    h.wait_status(later, "sent")
    assert sorted(s.contents()) == ["later", "now"]
    assert all(r.at >= at - CORRECTED for r in s.requests if r.json["content"] == "later")


def test_continuous_mode_sends_as_it_comes(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="0", MESSAGE_BATCH_SIZE=2)
    h.create_many(500)
    h.wait_stats(sent=500, timeout=20)
    assert len(s.requests) == 500 and len({r.key for r in s.requests}) == 500
    h.wait_status(h.create("one more"), "sent")


def test_free_retries_do_not_wait_for_the_beat(herald, sink):
    s = sink(failing(500, 2))
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE=2, RETRY_BACKOFF="100ms",
               RETRY_PACING="free", AUTO_START_SCHEDULER="false")
    ids = h.create_many(3)
    h.scheduler("start")
    h.wait_stats(sent=2, pending=1)
    assert h.get(ids[2])["attempts"] == 0


def test_shared_retries_wait_for_the_beat(herald, sink):
    s = sink(failing(500, 2))
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE=1, RETRY_BACKOFF="50ms",
               AUTO_START_SCHEDULER="false")
    m = h.create()
    h.scheduler("start")
    s.wait(1)
    time.sleep(0.5)
    assert len(s.requests) == 1 and h.get(m)["status"] == "pending"


# --- uncertain outcomes -------------------------------------------------------------------------------------


def test_an_unknown_outcome_is_repeated_under_the_same_id(herald, sink):
    s = sink(lambda r: reset if r.nth == 1 else reply())
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="50ms")
    m = h.wait_status(h.create(), "sent")
    assert m["attempts"] == 2 and [r.nth for r in s.requests] == [1, 2]
    assert len({r.key for r in s.requests}) == 1


def test_strict_mode_parks_an_unknown_outcome(herald, sink):
    s = sink(lambda r: reset if r.json["content"] == "reset" else hang if r.json["content"] == "hang" else reply())
    h = herald(WEBHOOK_URL=s.url, DELIVERY_MODE="strict", RETRY_BACKOFF="20ms", WEBHOOK_TIMEOUT_SECONDS=2 * SLOW)
    bad = [h.create("reset"), h.create("hang")]
    good = h.create("fine")
    for m in bad:
        m = h.wait_status(m, "unknown")
        assert m["attempts"] == 1 and m["lastError"]
    h.wait_status(good, "sent")
    time.sleep(0.3)
    assert len(s.requests) == 3
    for m in bad:  # neither replay nor cancel touch what may have been delivered
        assert h.api.post(f"/api/v1/messages/{m['id']}/replay").status == 404
        assert h.api.delete(f"/api/v1/messages/{m['id']}").status == 409


def test_strict_mode_retries_what_surely_was_not_delivered(herald, sink):
    s = sink(failing(503, 1))
    h = herald(WEBHOOK_URL=s.url, DELIVERY_MODE="strict", RETRY_BACKOFF="20ms")
    assert h.wait_status(h.create(), "sent")["attempts"] == 2


# --- operators ------------------------------------------------------------------------------------------------


def test_replay_sends_again_under_the_same_key(herald, sink):
    broken = True
    s = sink(lambda r: reply(400, b"") if broken else reply())
    h = herald(WEBHOOK_URL=s.url, MAX_ATTEMPTS=1)
    ids = h.create_many(3)
    h.wait_stats(failed=3)
    h.scheduler("stop")
    broken = False
    assert h.api.post(f"/api/v1/messages/{ids[0]}/replay").data == {"replayed": 1}
    m = h.get(ids[0])
    assert m["status"] == "pending" and m["attempts"] == 0 and "messageId" not in m and "sentAt" not in m
    assert h.api.post("/api/v1/messages/replay/all").data == {"replayed": 2}
    time.sleep(0.2)
    assert len(s.requests) == 3  # does not send at once: the scheduler is stopped
    h.scheduler("start")
    h.wait_stats(sent=3)
    assert sorted(s.seen.values()) == [2, 2, 2]
    assert h.api.post(f"/api/v1/messages/{ids[0]}/replay").status == 404
    assert h.api.post("/api/v1/messages/999999/replay").status == 404
    assert [a["httpStatus"] for a in h.attempts(ids[0])] == [400, 202]


def test_cancelled_is_never_sent(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, AUTO_START_SCHEDULER="false")
    keep, drop = h.create("keep"), h.create("drop")
    assert h.api.delete(f"/api/v1/messages/{drop['id']}").data["status"] == "cancelled"
    h.scheduler("start")
    h.wait_status(keep, "sent")
    assert h.get(drop)["status"] == "cancelled" and s.contents() == ["keep"]
    assert h.api.delete(f"/api/v1/messages/{drop['id']}").status == 409
    assert h.api.delete(f"/api/v1/messages/{keep['id']}").status == 409


def test_an_operators_stop_survives_restarts(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url)
    assert h.status()["running"]
    h.scheduler("stop")
    m = h.create()
    for end in (h.stop, h.kill):
        end()
        h.start()
        assert not h.status()["running"]
    time.sleep(0.3)
    assert h.get(m)["status"] == "pending" and not s.requests
    h.scheduler("start")
    h.wait_status(m, "sent")
    h.stop()
    h.start()
    assert h.status()["running"]


def test_start_and_stop_say_when_it_is_already_so(herald, sink):
    h = herald(WEBHOOK_URL=sink().url, MESSAGE_SEND_INTERVAL="2m")
    for verb, running in (("start", True), ("stop", False), ("stop", False), ("start", True)):
        a = h.api.post(f"/api/v1/scheduler/{verb}")
        assert a.status == 200 and a.data["running"] is running
    a, b = (h.api.post("/api/v1/scheduler/start").json for _ in range(2))
    assert a["message"] == b["message"] and "already" in a["message"].lower()
    assert h.scheduler("start", {"interval": "90s", "batchSize": 7})["intervalSeconds"] == 90
    assert h.status()["batchSize"] == 7
    assert h.scheduler("start", {"interval": 3})["intervalSeconds"] == 180


def test_run_now_within_the_pace(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="1m", MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
    h.create_many(5)
    assert h.api.post("/api/v1/scheduler/run").status == 200
    h.wait_stats(sent=2, pending=3)
    a = h.api.post("/api/v1/scheduler/run")
    assert a.status == 409 and "nextRunAt" in json.dumps(a.json)
    time.sleep(0.2)
    assert len(s.requests) == 2
    status = h.status()
    assert status["runsCount"] == 1 and status["messagesSent"] == 2 and status["backlog"] == 3


def test_idempotency_key_survives_restarts_and_never_sends_twice(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url)
    m = h.create("once", idempotencyKey="order-17")
    h.wait_status(m, "sent")
    h.stop()
    h.start()
    again = h.create("once", headers={"Idempotency-Key": "order-17"})
    assert again["id"] == m["id"]
    other = h.api.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "twice", "idempotencyKey": "order-17"})
    assert other.status == 422
    time.sleep(0.2)
    assert len(s.requests) == 1


def test_two_heralds_may_share_a_receiver(herald, sink):
    """Keys must not collide between stores: the receiver tells messages apart by them alone."""
    s = sink()
    one, two = herald(WEBHOOK_URL=s.url), herald(WEBHOOK_URL=s.url)
    one.wait_status(one.create("same"), "sent")
    two.wait_status(two.create("same"), "sent")
    assert len({r.key for r in s.requests}) == 2


def test_a_restarted_receiver_costs_nothing_but_time(herald, sink):
    port = free_port()
    first = Sink(port=port)
    h = herald(WEBHOOK_URL=f"http://127.0.0.1:{port}/hook", RETRY_BACKOFF="50ms", MAX_ATTEMPTS=50,
               MESSAGE_SEND_INTERVAL="20ms", MESSAGE_BATCH_SIZE=5)
    h.create_many(200)
    first.wait(50)
    first.close()
    time.sleep(0.3)
    second = sink(port=port)
    h.wait_stats(sent=200, timeout=30)
    keys = {r.key for r in first.requests} | {r.key for r in second.requests}
    assert len(keys) == 200
