"""Health, readiness, metrics, and the API's part of starting and stopping."""
import http.client
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from herald import PHONE, SLOW, eventually


def test_health(herald):
    h = herald()
    a = h.api.get("/health", key=None)
    assert a.status == 200
    assert a.json == {"status": "ok", "timestamp": a.json["timestamp"],
                      "components": {"database": {"status": "up"}, "redis": {"status": "disabled"}}}
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", a.json["timestamp"])
    for path in ("/livez", "/readyz", "/livez?verbose"):
        a = h.api.get(path, key=None)
        assert a.status == 200 and a.json == {"status": "ok"}


def test_metrics(herald):
    h = herald(AUTO_START_SCHEDULER="false")
    h.create_many(3)
    h.create()
    h.api.get("/nope")
    h.api.request("PUT", "/api/v1/messages")
    h.api.request("PATCH", "/api/v1/messages")
    h.api.post("/api/v1/messages", b"{")
    a = h.api.get("/metrics", key=None)
    assert a.status == 200 and a.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert h.metric('herald_messages{status="pending"}') == 4
    assert h.metric('herald_messages{status="sent"}') == 0
    count = 'herald_http_requests_total{method="%s",route="%s",status="%s"}'
    assert h.metric(count % ("POST", "/api/v1/messages", 201)) == 1
    assert h.metric(count % ("POST", "/api/v1/messages", 400)) == 1
    assert h.metric(count % ("POST", "/api/v1/messages/batch", 201)) == 1
    assert h.metric(count % ("GET", "none", 404)) == 1
    assert h.metric(count % ("PUT", "none", 405)) == 1
    assert h.metric(count % ("other", "none", 405)) == 1
    assert h.metric('herald_http_request_duration_seconds_count{method="POST",route="/api/v1/messages"}') == 2
    assert h.metric("herald_http_connections") >= 1


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_metrics_lint(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    h.create_many(3)
    h.wait_stats(sent=3)
    run = subprocess.run(["promtool", "check", "metrics"], input=h.api.get("/metrics").body, capture_output=True,
                         timeout=60)
    assert run.returncode == 0 and run.stdout == run.stderr == b"", run


def test_port_in_use(herald):
    h = herald()
    other = herald(start=False, SERVER_PORT=h.port)
    run = other.run("serve", timeout=20)
    assert run.returncode != 0
    assert f"port {h.port}: the port is in use" in run.stdout + run.stderr
    assert h.api.get("/livez").status == 200


def test_requests_in_progress_are_answered_at_shutdown(herald):
    h = herald(AUTO_START_SCHEDULER="false")
    answers, stop = [], threading.Event()

    def post():
        client = h.client()
        while not stop.is_set():
            try:
                a = client.post("/api/v1/messages", {"phoneNumber": PHONE, "content": "x"})
            except (OSError, http.client.HTTPException):
                return  # no answer: the connection was closed before, or the listener is gone
            answers.append(a)
            if a.headers.get("Connection") == "close":
                return
    threads = [threading.Thread(target=post) for _ in range(8)]
    for t in threads:
        t.start()
    eventually(lambda: len(answers) > 100)
    h.process.send_signal(signal.SIGTERM)
    for t in threads:
        t.join(20 * SLOW)
        assert not t.is_alive()
    stop.set()
    h.wait(expect=0)
    accepted = {a.data["id"] for a in answers if a.status == 201}
    assert {a.status for a in answers} <= {201, 503}
    stored = {row[0] for row in h.query("SELECT id FROM herald_messages")}
    assert accepted <= stored


def test_idle_connections_do_not_hold_up_the_shutdown(herald):
    h = herald(AUTO_START_SCHEDULER="false")
    idle = [socket.create_connection(("127.0.0.1", h.port)) for _ in range(5)]
    client = h.client()
    client.get("/livez")
    eventually(lambda: h.metric("herald_http_connections") == 7)
    h.stop()
    assert h.took_to_answer() < 4  # the bound of this step is 5 s
    for s in idle:
        assert s.recv(1) == b""
        s.close()
    client.close()


def test_half_sent_request_holds_up_the_shutdown_no_longer_than_its_time(herald):
    h = herald(AUTO_START_SCHEDULER="false", API_REQUEST_TIMEOUT="1s")
    with socket.create_connection(("127.0.0.1", h.port)) as s:
        s.sendall(b"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n")
        h.stop()
        assert s.recv(100).startswith(b"HTTP/1.1 408 ")
    # It had an end of its own, before that of the step.
    [answered] = h.log("shutdown: API requests are answered")
    assert answered["cutOff"] == 0
