"""Workers without a database: they reach the messages through another herald's API (DATABASE_URL=http://…)."""
import collections
import datetime
import itertools
import random
import threading
import time

import pytest

import herald as h


@pytest.fixture
def pair(herald, sink):
    """pair(api settings, workers=n, **of the workers): an api process on SQLite, workers, and their receiver."""
    numbers = itertools.count(1)

    def make(workers=1, answer=None, api=None, **env):
        receiver = sink(answer)
        server = herald(ROLE="api", NODE_ID="api", **(api or {}))
        made = [herald(ROLE="worker", NODE_ID=f"worker{next(numbers)}", DATABASE_URL=server.url,
                       WEBHOOK_URL=receiver.url, **env) for _ in range(workers)]
        return server, made, receiver

    return make


def test_a_worker_sends_what_the_other_has(pair):
    server, (worker,), receiver = pair()
    ids = server.create_many(50)
    h.eventually(lambda: server.stats()["sent"] == 50)
    assert sorted(r.json["content"] for r in receiver.requests) == sorted(f"message {i}" for i in range(50))
    m = server.get(ids[0])
    (attempt,) = server.attempts(m)
    assert attempt["node"].startswith("worker1/") and attempt["httpStatus"] == 202
    assert m["messageId"]
    h.eventually(lambda: str(m["id"]) in server.api.get("/api/v1/messages/cached?pageSize=100").data)
    assert worker.metric('herald_attempts_total{outcome="sent"}') == 50


def test_it_is_steered_and_watched_at_either(pair):
    server, (worker,), _ = pair(api={"MESSAGE_SEND_INTERVAL": "90s", "MESSAGE_BATCH_SIZE": 3})
    h.eventually(lambda: worker.status()["runsCount"] == 1)
    there, here = server.status(), worker.status()
    # The next one is told to the millisecond.
    due = [datetime.datetime.fromisoformat(d.pop("nextRunAt").replace("Z", "+00:00")) for d in (there, here)]
    assert abs(due[0] - due[1]) <= datetime.timedelta(milliseconds=2)
    for d in (there, here):
        d.pop("drainsAt")
    assert here == there
    a = worker.api.post("/api/v1/scheduler/stop", {"batchSize": 5})
    assert a.json["message"] == "Scheduler stopped" and a.json["changed"] is True
    assert server.status()["running"] is False and server.status()["batchSize"] == 5
    again = worker.api.post("/api/v1/scheduler/stop")
    assert again.json["message"] == "Scheduler is already stopped" and again.json["changed"] is False
    assert server.api.post("/api/v1/scheduler/start").json["changed"] is True
    assert worker.status()["running"] is True
    assert worker.runs() == server.runs()
    jobs = [one.api.get("/api/v1/scheduler/jobs").data for one in (worker, server)]
    assert jobs[0] == jobs[1] and len(jobs[0]) == 2
    h.eventually(lambda: {n["id"] for n in worker.api.get("/api/v1/nodes").data} == {"api", "worker1"})
    assert worker.api.get("/health").json["status"] == "ok"


def test_a_forced_run_reaches_through(pair):
    server, (worker,), receiver = pair(api={"MESSAGE_SEND_INTERVAL": "1h", "AUTO_START_SCHEDULER": "false",
                                            "MESSAGE_BATCH_SIZE": 2})
    server.create_many(5)
    a = worker.api.post("/api/v1/scheduler/run")
    assert a.status == 200 and a.data["claimed"] == 2
    assert worker.api.post("/api/v1/scheduler/run").status == 409
    h.eventually(lambda: server.stats()["sent"] == 2)


def test_failures_and_alerts(pair, sink):
    alerts = sink(lambda r: h.reply(200))
    server, _, receiver = pair(answer=lambda r: h.reply(503), MAX_ATTEMPTS=2, ALERT_WEBHOOK_URL=alerts.url,
                               ALERT_ITERATION_COUNT=1, api={"MESSAGE_SEND_INTERVAL": "300ms"})
    m = server.create()
    m = server.wait_status(m, "failed")
    assert m["attempts"] == 2 and "503" in m["lastError"]
    assert [a["status"] for a in server.attempts(m)] == ["retry", "failed"]
    h.eventually(lambda: alerts.requests, what="the alert")
    h.eventually(lambda: server.status()["lastAlertSentAt"], what="its time at the server")


def test_two_workers_share_the_beat(pair):
    server, _, receiver = pair(workers=2, api={"MESSAGE_SEND_INTERVAL": "500ms", "MESSAGE_BATCH_SIZE": 3})
    server.create_many(15)
    h.eventually(lambda: server.stats()["sent"] == 15)
    runs = [r for r in server.runs() if r["claimed"]]
    assert sum(r["claimed"] for r in runs) == 15 and all(r["claimed"] <= 3 for r in runs)
    assert collections.Counter(r.json["content"] for r in receiver.requests).most_common(1)[0][1] == 1


def test_the_server_may_be_away(pair, herald):
    server, (worker,), receiver = pair()
    server.create_many(5)
    h.eventually(lambda: server.stats()["sent"] == 5)
    server.kill()
    h.eventually(lambda: worker.api.get("/readyz").status == 503)
    assert worker.api.get("/api/v1/scheduler/status").status == 503
    server.start()
    server.create_many(5, prefix="later")
    h.eventually(lambda: server.stats()["sent"] == 10)
    assert len(receiver.requests) == 10


def test_it_may_start_before_the_server(herald, sink):
    port = h.free_port()
    receiver = sink()
    worker = herald(start=False, ROLE="worker", DATABASE_URL=f"http://127.0.0.1:{port}", WEBHOOK_URL=receiver.url)
    worker.start(wait=False)
    h.eventually(lambda: worker.log("the database is not there yet; herald goes on trying"))
    server = herald(ROLE="api", SERVER_PORT=port)
    server.create_many(3)
    h.eventually(lambda: server.stats()["sent"] == 3)


@pytest.mark.parametrize("env, says", [
    ({"MESSAGES_API_KEY": "wrong-key"}, "refuses the API key (401)"),
    ({"SCHEDULER_API_KEY": "wrong-key"}, "refuses the API key (401)"),
    ({"MESSAGES_API_KEY": None}, "refuses the API key (401)"),
    ({"ROLE": "all"}, "ROLE=worker"),
])
def test_wrong_settings_are_refused_at_the_start(herald, env, says):
    server = herald(ROLE="api")
    worker = herald(start=False, ROLE="worker", DATABASE_URL=server.url)
    done = worker.run("serve", **env)
    assert done.returncode == 2
    assert says in done.stderr


def test_what_is_no_herald_is_refused(herald, sink):
    s = sink(lambda r: h.reply(200, body=b'{"info":{"title":"other","version":"1"}}'))
    worker = herald(start=False, ROLE="worker", DATABASE_URL=s.url.rsplit("/", 1)[0])
    done = worker.run("serve")
    assert done.returncode == 2 and "is no herald" in done.stderr


def test_the_key_may_be_in_the_url_and_is_not_shown(herald, sink):
    server = herald(ROLE="api", MESSAGES_API_KEY="one-for-both", SCHEDULER_API_KEY="one-for-both")
    receiver = sink()
    worker = herald(ROLE="worker", WEBHOOK_URL=receiver.url, MESSAGES_API_KEY=None, SCHEDULER_API_KEY=None,
                    DATABASE_URL=server.url.replace("//", "//:one-for-both@"))
    a = server.api.post("/api/v1/messages", {"phoneNumber": h.PHONE, "content": "x"}, key="one-for-both")
    assert a.status == 201
    h.eventually(lambda: receiver.requests)
    assert "one-for-both" not in worker.log_text()


def test_a_stopping_worker_gives_back_and_settles(pair):
    server, (worker,), receiver = pair(answer=lambda r: h.reply(202, delay=0.3))
    server.create_many(300)
    h.eventually(lambda: len(receiver.requests) > 20)
    worker.stop()
    stats = server.stats()
    assert stats["sending"] == 0 and stats["sent"] == len(receiver.requests)
    assert stats["sent"] + stats["pending"] == 300


def test_both_killed_at_will_lose_nothing(pair):
    """Only a message whose outcome nobody can know may arrive twice; none may be missing."""
    server, workers, receiver = pair(workers=2, WEBHOOK_TIMEOUT_SECONDS=1, LEASE_DURATION="11500ms",
                                     api={"MAX_LOST_CLAIMS": 50, "MAX_ATTEMPTS": 50}, MAX_ATTEMPTS=50)
    total = 600
    rng = random.Random(7)
    done = threading.Event()
    created = []

    def feed():
        while len(created) < total and not done.is_set():
            try:
                a = server.client(timeout=2).post("/api/v1/messages", {
                    "phoneNumber": h.PHONE, "content": f"m{len(created)}", "idempotencyKey": f"k{len(created)}"})
                if a.status in (200, 201):
                    created.append(a.data["id"])
            except OSError:
                time.sleep(0.02)
            except Exception:  # an answer that was cut off
                time.sleep(0.02)

    feeder = threading.Thread(target=feed)
    feeder.start()
    kills = 0
    while kills < 6:
        victim = rng.choice([server, *workers])
        h.eventually(lambda: len(created) > kills * 60 or len(created) == total)
        time.sleep(rng.random() * 0.1)
        victim.kill()
        victim.start(wait=victim is server)
        kills += 1
    feeder.join()
    done.set()
    for w in workers:
        if w.process is None:
            w.start()
    h.eventually(lambda: (s := server.stats())["sent"] + s["failed"] == total and s["sending"] == 0, timeout=90)
    assert server.stats()["sent"] == total
    keys = collections.Counter(r.headers["idempotency-key"] for r in receiver.requests)
    assert len(keys) == total
    for key in (k for k, n in keys.items() if n > 1):
        told = server.attempts(int(key.split("-")[0]))
        assert any(a["status"] == "lost" or a["status"] == "retry" for a in told), (key, told)
