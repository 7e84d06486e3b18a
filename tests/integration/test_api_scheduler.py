"""/api/v1/scheduler, as an operator sees it."""
import datetime

import pytest

from herald import eventually

FIELDS = {"running", "interval", "intervalSeconds", "batchSize", "failureRate", "lastRunAt", "nextRunAt",
          "runsCount", "messagesSent", "consecutiveAllFailCount", "lastAlertSentAt", "backlog", "drainsAt"}


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.fixture
def stopped(herald):
    return herald(AUTO_START_SCHEDULER="false", MESSAGE_SEND_INTERVAL="2m", MESSAGE_BATCH_SIZE="2")


def test_status_of_a_stopped_one(stopped):
    stopped.create()
    s = stopped.status()
    assert set(s) == FIELDS
    assert s == {**s, "running": False, "interval": "2m", "intervalSeconds": 120, "batchSize": 2, "failureRate": 0,
                 "lastRunAt": None, "nextRunAt": None, "runsCount": 0, "messagesSent": 0,
                 "consecutiveAllFailCount": 0, "lastAlertSentAt": None, "backlog": 1, "drainsAt": None}


def test_start_and_stop(stopped):
    def post(verb, body=None):
        a = stopped.api.post(f"/api/v1/scheduler/{verb}", body)
        assert a.status == 200 and set(a.data) == FIELDS, a
        return a.json["message"], a.data["running"]
    assert post("stop") == ("Scheduler is already stopped", False)
    assert post("start") == ("Scheduler started", True)
    assert post("start", b"") == ("Scheduler is already running", True)
    assert stopped.status()["running"] is True
    assert post("stop", {}) == ("Scheduler stopped", False)
    assert stopped.status()["running"] is False


def test_settings_turn_nothing(stopped):
    for turned in (False, True, False):
        stopped.api.post(f"/api/v1/scheduler/{'start' if turned else 'stop'}")
        for body in (None, {}, {"failureRate": 0.5}, {"alertedAt": "2026-01-02T03:04:05Z"}):
            a = stopped.api.post("/api/v1/scheduler/settings", body)
            assert (a.status, a.json["message"], a.json["changed"]) == (200, "Scheduler settings stored", False), a
            assert a.data["running"] is turned and stopped.status()["running"] is turned
    jobs = stopped.api.get("/api/v1/scheduler/jobs").data
    assert len(jobs) == 1 and jobs[0]["finishedAt"], jobs
    s = stopped.status()
    assert (s["failureRate"], s["lastAlertSentAt"]) == (0.5, "2026-01-02T03:04:05.000Z")


@pytest.mark.parametrize("interval, seconds, text", [(1, 60, "1m"), (2.5, 150, "2m30s"), ("90s", 90, "1m30s"),
                                                     ("500ms", 0.5, "500ms"), ("0", 0, "0")])
def test_change(stopped, interval, seconds, text):
    a = stopped.api.post("/api/v1/scheduler/stop", {"interval": interval, "batchSize": 7, "failureRate": 0.25})
    assert a.status == 200, a
    s = stopped.status()
    assert (s["intervalSeconds"], s["interval"], s["batchSize"], s["failureRate"]) == (seconds, text, 7, 0.25)


@pytest.mark.parametrize("body, field", [
    ({"interval": 0}, "interval"), ({"interval": 0.99}, "interval"), ({"interval": "x"}, "interval"),
    ({"interval": True}, "interval"), ({"interval": 1e300}, "interval"), ({"interval": None}, "interval"),
    ({"batchSize": 0}, "batchSize"), ({"batchSize": 1.5}, "batchSize"), ({"batchSize": 1000001}, "batchSize"),
    ({"failureRate": -0.1}, "failureRate"), ({"failureRate": 1.1}, "failureRate"), ({"failureRate": "1"}, "failureRate"),
    ({"batch": 5}, "batch"), ([], "body"),
])
def test_change_refuses(stopped, body, field):
    for verb in ("start", "stop"):
        a = stopped.api.post(f"/api/v1/scheduler/{verb}", body)
        assert a.status == 422 and list(a.json["details"]) == [field], a
    s = stopped.status()
    assert (s["running"], s["interval"], s["batchSize"], s["failureRate"]) == (False, "2m", 2, 0)


def test_malformed_body(stopped):
    assert stopped.api.post("/api/v1/scheduler/start", b"{").status == 400
    a = stopped.api.post("/api/v1/scheduler/start", b"{}", headers={"Content-Type": "text/plain"})
    assert a.status == 415
    assert stopped.status()["running"] is False


def test_run_now_only_when_it_is_due(herald, sink):
    s = sink()
    h = herald(AUTO_START_SCHEDULER="false", MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE="2", WEBHOOK_URL=s.url)
    h.create_many(5)
    a = h.api.post("/api/v1/scheduler/run")
    assert a.status == 200 and a.data["claimed"] == 2, a
    due = when(a.data["nextRunAt"])
    h.wait_stats(sent=2)
    a = h.api.post("/api/v1/scheduler/run")
    assert a.status == 409 and a.json["code"] == 409002, a
    assert when(a.json["details"]["nextRunAt"]) == due
    assert len(s.requests) == 2 and h.stats()["pending"] == 3


def test_run_now_without_a_scheduler(herald):
    h = herald(ROLE="api")
    a = h.api.post("/api/v1/scheduler/run")
    assert a.status == 503 and a.json["code"] == 503004 and int(a.headers["Retry-After"]) > 0


def test_forecast(herald, sink):
    h = herald(MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE="10", AUTO_START_SCHEDULER="false",
               WEBHOOK_URL=sink().url)
    h.create_many(25)
    h.scheduler("start")
    h.wait_stats(sent=10)
    s = h.status()
    assert s["backlog"] == 15 and s["runsCount"] == 1 and s["messagesSent"] == 10
    assert when(s["nextRunAt"]) - when(s["lastRunAt"]) == datetime.timedelta(hours=1)
    assert when(s["drainsAt"]) - when(s["nextRunAt"]) == datetime.timedelta(hours=1)


def test_runs(herald, sink):
    h = herald(MESSAGE_SEND_INTERVAL="50ms", MESSAGE_BATCH_SIZE="1", WEBHOOK_URL=sink().url)
    ids = h.create_many(5)
    h.wait_stats(sent=5)
    h.scheduler("stop")
    newest = h.api.get("/api/v1/scheduler/runs?pageSize=2")
    assert newest.status == 200 and newest.json["pageSize"] == 2
    walked, cursor = [], ""
    while cursor is not None:
        page = h.api.get(f"/api/v1/scheduler/runs?pageSize=2{cursor}").json
        walked += page["data"]
        cursor = f"&cursor={page['nextCursor']}" if "nextCursor" in page else None
    assert [r["id"] for r in walked] == sorted((r["id"] for r in walked), reverse=True)
    assert len(walked) == page["totalCount"] and sum(r["sent"] for r in walked) == 5
    assert sorted(r["lastMessageId"] for r in walked if r["claimed"]) == ids
    assert all(set(r) >= {"id", "startedAt", "node", "claimed", "sent", "failed", "retried"} for r in walked)
    assert walked[2:4] == h.api.get("/api/v1/scheduler/runs?pageSize=2&page=2").json["data"]
    cursor = newest.json["nextCursor"]
    assert h.api.get(f"/api/v1/messages?cursor={cursor}").status == 422
    assert h.api.get("/api/v1/scheduler/runs?status=sent").status == 422


def test_changes_take_effect_at_once(herald, sink):
    h = herald(MESSAGE_SEND_INTERVAL="1h", MESSAGE_BATCH_SIZE="1", WEBHOOK_URL=sink().url,
               AUTO_START_SCHEDULER="false")
    h.create_many(4)
    h.scheduler("start")
    h.wait_stats(sent=1)
    h.scheduler("start", {"interval": "50ms"})
    h.wait_stats(sent=4)


def test_jobs(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="10ms", MESSAGE_BATCH_SIZE="3", JOB_NAME="nightly")
    h.create_many(5)
    eventually(lambda: h.stats()["sent"] == 5, what="all to be sent")
    [job] = h.api.get("/api/v1/scheduler/jobs").data
    assert (job["id"], job["name"], job["lastOffset"]) == (1, "nightly", 5) and "finishedAt" not in job
    for _ in range(2):
        h.api.post("/api/v1/scheduler/stop")
        h.api.post("/api/v1/scheduler/start")
    page = h.api.get("/api/v1/scheduler/jobs?pageSize=2").json
    assert [j["id"] for j in page["data"]] == [3, 2] and page["totalCount"] == 3
    [first] = h.api.get(f"/api/v1/scheduler/jobs?pageSize=2&cursor={page['nextCursor']}").data
    assert first["lastOffset"] == 5 and first["finishedAt"] >= first["startedAt"]
    # A list's cursor is of no use to another list.
    assert h.api.get(f"/api/v1/scheduler/runs?cursor={page['nextCursor']}").status == 422


def test_the_first_run_may_wait(herald, sink):
    s = sink()
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="1h", FIRST_RUN="after-interval")
    status = h.api.get("/api/v1/scheduler/status").data
    assert status["running"] and status["lastRunAt"] is None and status["runsCount"] == 0
    wait = when(status["nextRunAt"]) - datetime.datetime.now(datetime.timezone.utc)
    assert 3500 < wait.total_seconds() <= 3601
    assert h.api.post("/api/v1/scheduler/run").status == 409
    h.api.post("/api/v1/scheduler/stop")
    again = h.api.post("/api/v1/scheduler/start").data
    assert again["nextRunAt"] >= status["nextRunAt"]
    assert not s.requests
