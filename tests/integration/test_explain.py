"""GET /api/v1/messages/{id}/explain and `herald explain`, for each reason that a message can have."""
import datetime
import time

import pytest

from herald import eventually, hang, reply

SHORT = {"summary", "sentences", "now", "attempts", "scheduler", "actions", "id", "status", "reason"}


def explain(h, message):
    a = h.api.get(f"/api/v1/messages/{message['id'] if isinstance(message, dict) else message}/explain")
    assert a.status == 200, a
    assert SHORT <= set(a.data) and a.data["summary"] == a.data["sentences"][0]
    assert all(s.endswith((".", "!")) for s in a.data["sentences"]), a.data["sentences"]
    return a.data


def actions(e):
    return [a["action"] for a in e["actions"]]


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.fixture
def beats(herald, sink):
    """Two messages every hour, and the first two have gone."""
    h = herald(WEBHOOK_URL=sink().url, MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE="2",
               AUTO_START_SCHEDULER="false")
    h.ids = h.create_many(9)
    h.scheduler("start")
    h.wait_stats(sent=2)
    return h


def test_the_queue(beats):
    next_run = when(beats.status()["nextRunAt"])
    for place, message in enumerate(beats.ids[2:]):
        e = explain(beats, message)
        beat = place // 2 + 1
        assert e["reason"] == ("next_beat" if beat == 1 else "in_queue")
        assert e["queue"] == {"ahead": place, "atLeast": False}
        assert e["beat"]["fromNow"] == beat and e["beat"]["number"] == 1 + beat
        assert abs(when(e["beat"]["at"]) - next_run - 3600 * (beat - 1)) < 1 and e["beat"]["at"] == e["estimatedAt"]
        assert "cancel" in actions(e)
    e = explain(beats, beats.ids[0])
    assert (e["status"], e["reason"]) == ("sent", "sent") and "queue" not in e and "The receiver calls it" in e["sentences"][1]
    assert explain(beats, beats.ids[3])["scheduler"] == {
        "running": True, "interval": "1h", "intervalSeconds": 3600, "batchSize": 2,
        "nextRunAt": beats.status()["nextRunAt"]}


def test_stopped_cancelled_and_later(beats):
    beats.scheduler("stop")
    e = explain(beats, beats.ids[5])
    assert e["reason"] == "scheduler_stopped" and actions(e)[0] == "startScheduler"
    assert "beat" not in e and "estimatedAt" not in e and e["queue"]["ahead"] == 3
    beats.api.delete(f"/api/v1/messages/{beats.ids[5]}")
    assert explain(beats, beats.ids[5])["reason"] == "cancelled"
    beats.scheduler("start")
    at = time.time() + 3 * 3600
    later = beats.create(sendAt=datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat())
    e = explain(beats, later)
    assert e["reason"] == "send_at" and e["dueAt"] == later["nextAttemptAt"]
    assert when(e["estimatedAt"]) >= at - 1


def test_more_than_are_counted(herald, sink):
    h = herald(WEBHOOK_URL=sink().url, AUTO_START_SCHEDULER="false")
    ids = []
    for _ in range(2):
        ids += h.create_many(6000)
    assert explain(h, ids[10000])["queue"] == {"ahead": 10000, "atLeast": False}
    assert explain(h, ids[10001])["queue"] == {"ahead": 10000, "atLeast": True}
    assert explain(h, ids[11999])["queue"] == {"ahead": 10000, "atLeast": True}


def test_lifo(herald, sink):
    h = herald(WEBHOOK_URL=sink().url, AUTO_START_SCHEDULER="false", MESSAGE_ORDER="lifo")
    ids = h.create_many(5)
    assert [explain(h, i)["queue"]["ahead"] for i in ids] == [4, 3, 2, 1, 0]


def test_failing_and_failed(herald, sink):
    s = sink(lambda r: reply(503, b"closed for lunch"))
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="1h", MAX_ATTEMPTS="2", RETRY_PACING="free")
    m = h.create()
    eventually(lambda: h.get(m).get("lastError"))
    e = explain(h, m)
    assert e["reason"] == "backing_off" and e["attempts"] == {"made": 1, "most": 2}
    assert e["lastError"] == {"text": "HTTP 503: closed for lunch", "meaning": "The receiver itself is in trouble."}
    assert "queue" not in e and 3500 < when(e["estimatedAt"]) - time.time() < 2 * 3600
    h.stop()
    h.start(MAX_ATTEMPTS="1")
    m = h.create()
    h.wait_status(m, "failed")
    e = explain(h, m)
    assert e["reason"] == "failed" and actions(e) == ["fixReceiver", "replay"]
    shown = h.run("explain", m["id"], HERALD_URL=h.url, HERALD_API_KEY=h.env["MESSAGES_API_KEY"])
    assert shown.returncode == 0 and "It failed for good" in shown.stdout and "you can:" in shown.stdout, shown


def test_sending(herald, sink):
    h = herald(WEBHOOK_URL=sink(lambda r: hang).url, WEBHOOK_TIMEOUT_SECONDS=300)
    m = h.create()
    h.wait_status(m, "sending")
    e = explain(h, m)
    assert e["reason"] == "sending" and e["lease"]["node"] == "test" and not e["lease"]["ended"]
    assert e["lease"]["owner"].startswith("test/")
    eventually(lambda: explain(h, m)["lease"].get("nodeStatus") == "up")


def test_what_is_not_there(herald):
    h = herald()
    assert h.api.get("/api/v1/messages/1/explain").status == 404
    assert h.api.get("/api/v1/messages/1/explain", key=None).status == 401
    assert h.api.get("/api/v1/messages/1/explain?x=1").status == 422
