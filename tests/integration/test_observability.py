"""Logs, metrics and health: what an operator sees is true, and machines can read it."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from herald import eventually, free_port, reply

LOGFMT = re.compile(r'(?:[a-zA-Z_][\w.]*=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*))(?: [a-zA-Z_][\w.]*=(?:"(?:[^"\\]|\\.)*"|[^\s"=]*))*')


def work(herald, sink, **env):
    """A herald that has sent, failed and retried something."""
    s = sink(lambda r: reply(400, b"") if r.json["content"] == "bad" else reply(503, b"") if r.nth == 1 else reply())
    h = herald(WEBHOOK_URL=s.url, RETRY_BACKOFF="20ms", MESSAGE_SEND_INTERVAL="50ms", **env)
    h.create("good")
    h.create("bad")
    h.wait_stats(sent=1, failed=1)
    return h


def parse_logfmt(line):
    assert LOGFMT.fullmatch(line), line
    pairs = re.findall(r'([a-zA-Z_][\w.]*)=("(?:[^"\\]|\\.)*"|[^\s"=]*)', line)
    return {k: json.loads(v) if v.startswith('"') else v for k, v in pairs}


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_every_line_parses_and_names_what_it_is_about(herald, sink, form):
    h = work(herald, sink, LOG_FORMAT=form)
    a = h.api.get("/api/v1/messages/424242", headers={"X-Correlation-Id": "corr-0815"})
    assert a.status == 404 and a.headers["X-Correlation-Id"] == "corr-0815"
    h.api.get("/livez", headers={"X-Correlation-Id": "evil\"id=1"})
    h.stop()
    lines = h.log_text().splitlines()
    assert len(lines) > 10
    parsed = [json.loads(x) if form == "json" else parse_logfmt(x) for x in lines]
    for d in parsed:
        assert {"ts", "level", "msg"} <= set(d), d
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", d["ts"])
        assert d["level"] in ("debug", "info", "warn", "error")
    assert [d for d in parsed if "corr-0815" in d.values()]
    # One final line per attempt at debug, with message and attempt; one per run at info.
    attempts = [d for d in parsed if "attempt" in d and "message" in d]
    assert len(attempts) == 3, attempts
    assert all(d["level"] == "debug" for d in attempts)
    assert [d for d in parsed if "run" in d and d["level"] == "info"]


def test_secrets_are_nowhere(herald, sink):
    secrets = {"MESSAGES_API_KEY": "secret-messages-0815", "SCHEDULER_API_KEY": "secret-scheduler-4711",
               "WEBHOOK_AUTH_KEY": "secret-auth-1234",
               "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    s = sink()
    h = herald(WEBHOOK_URL=s.url.replace("127.0.0.1", "user:secret-url@127.0.0.1"), **secrets)
    h.api.key, h.api.scheduler_key = secrets["MESSAGES_API_KEY"], secrets["SCHEDULER_API_KEY"]
    h.wait_status(h.create(), "sent")
    h.api.get("/api/v1/messages?key=x", key="secret-wrong-key")
    seen = h.log_text() + h.api.get("/metrics").body.decode()
    seen += open(f"/proc/{h.process.pid}/cmdline", encoding="utf-8").read()
    out = h.run("config", "print")
    assert out.returncode == 0, out
    seen += out.stdout + out.stderr
    assert "WEBHOOK_SECRET" in out.stdout
    for secret in [*secrets.values(), "secret-url", "secret-wrong-key", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]:
        assert secret not in seen, f"{secret} shows"


def test_a_correlation_id_is_made_when_there_is_none(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    ids = {h.api.get("/livez").headers["X-Correlation-Id"] for _ in range(20)}
    assert len(ids) == 20 and all(ids)
    for path in ("/nowhere", "/api/v1/messages/x", "/api/v1/messages"):
        assert h.api.get(path, key=None).headers["X-Correlation-Id"]


def test_promtool_accepts_the_metrics(herald, sink):
    unpacked = pathlib.Path(__file__).parents[2] / "build/tools/usr/bin/promtool"
    promtool = shutil.which("promtool") or (unpacked.exists() and unpacked)
    if not promtool:
        pytest.skip("no promtool")
    h = work(herald, sink)
    page = h.api.get("/metrics")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run([promtool, "check", "metrics"], input=page.body, capture_output=True, check=False)
    assert done.returncode == 0 and not done.stderr, done


def test_metrics_count_what_happened(herald, sink):
    h = work(herald, sink)
    samples = {}
    for line in h.api.get("/metrics").body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in samples, f"{name} twice"
            samples[name] = float(value)

    def total(prefix, *labels):
        return sum(v for k, v in samples.items() if k.startswith(prefix) and all(x in k for x in labels))

    attempts = {k: v for k, v in samples.items() if k.startswith("herald_attempts_total")}
    assert sum(attempts.values()) == 3, attempts
    for outcome in ("sent", "failed", "retry"):
        assert total("herald_attempts_total", f'"{outcome}"') == 1, attempts
    backlog = {k: v for k, v in samples.items() if '"pending"' in k or '"sent"' in k and "messages" in k}
    assert backlog, sorted(samples)
    counts = [k for k in samples if k.endswith("_count") and "attempt" in k and "duration" in k]
    assert sum(samples[k] for k in counts) == 3, counts
    assert any(k.startswith("process_resident_memory_bytes") for k in samples)
    assert any("lateness" in k for k in samples)
    assert any("claim" in k for k in samples) and any("settle" in k for k in samples)
    assert total("herald_http_requests_total", '"201"') == 2 or \
        total("herald_api_requests_total", '"201"') == 2, sorted(k for k in samples if "requests" in k)


def test_labels_do_not_grow_with_what_clients_ask(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    h.api.get("/api/v1/messages/1")
    h.api.get("/nowhere/1")
    h.api.get("/metrics")
    before = len(h.api.get("/metrics").body.splitlines())
    for i in range(100):
        h.api.get(f"/api/v1/messages/{i + 2}")
        h.api.get(f"/nowhere/{i + 2}")
        h.api.request(f"VERB{i}", "/livez")
    text = h.api.get("/metrics").body.decode()
    assert len(text.splitlines()) - before <= 4, text
    assert "nowhere/5" not in text and "VERB5" not in text


def test_health(herald, sink):
    h = herald(WEBHOOK_URL=sink().url)
    body = h.api.get("/health", key=None).json
    assert body["status"] == "ok"
    assert body["components"]["database"] == {"status": "up"}
    assert body["components"]["redis"] == {"status": "disabled"}
    for path in ("/livez", "/readyz"):
        assert h.api.get(path, key=None).status == 200


def test_status_and_runs_agree(herald, sink):
    s = sink()
    # Not so often that the list of a hundred might end before the first.
    h = herald(WEBHOOK_URL=s.url, MESSAGE_SEND_INTERVAL="300ms", MESSAGE_BATCH_SIZE=2, AUTO_START_SCHEDULER="false")
    ids = h.create_many(6)
    assert h.status()["backlog"] == 6
    h.scheduler("start")
    h.wait_stats(sent=6)
    h.scheduler("stop")
    status = eventually(lambda: (st := h.status()) and st["messagesSent"] == 6 and st)
    assert status["running"] is False and status["batchSize"] == 2 and status["backlog"] == 0
    assert status["lastRunAt"]
    working = [r for r in h.runs() if r["claimed"]]
    assert [r["claimed"] for r in working] == [2, 2, 2]
    assert sum(r["sent"] for r in working) == 6 and not sum(r["failed"] + r["retried"] for r in working)
    assert all(r["node"] == "test" for r in working)
    assert working[0]["lastMessageId"] == ids[-1]


def test_nobody_listens(herald):
    h = herald(WEBHOOK_URL=f"http://127.0.0.1:{free_port()}/", MAX_ATTEMPTS=1)
    m = h.wait_status(h.create(), "failed")
    assert "connect" in m["lastError"].lower() or "refused" in m["lastError"].lower()
