"""Many messages, with the receiver that comes with herald: none is lost on the way and none sent twice, whatever
the number of connections on either side."""
import http.client
import json
import subprocess
import threading

import pytest

from herald import BIN, PHONE, environment, eventually, free_port


class RealSink:
    def __init__(self, directory, *arguments):
        self.port = free_port()
        self.ledger = directory / "ledger.jsonl"
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.process = subprocess.Popen([BIN, "sink", "--port", str(self.port), "--ledger", self.ledger, *arguments],
                                        env=environment(), cwd=directory, stdout=subprocess.DEVNULL)
        eventually(self.ready)

    def ready(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", "/")
            return c.getresponse().status == 200
        except OSError:
            assert self.process.poll() is None
            return False

    def lines(self):
        return [json.loads(line) for line in open(self.ledger, encoding="utf-8")]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.fixture
def real_sink(tmp_path):
    made = []

    def make(*arguments):
        made.append(RealSink(tmp_path, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.bulk
@pytest.mark.parametrize("concurrency", [1, 64, 128, 256])
def test_a_backlog_is_drained_once(herald, real_sink, concurrency):
    """128 and its multiples are counts at which an HTTP server has been seen to stall."""
    n = 3000 if concurrency == 1 else 20000
    s = real_sink()
    h = herald(WEBHOOK_URL=s.url, SEND_CONCURRENCY=concurrency, AUTO_START_SCHEDULER="false", LOG_LEVEL="info")
    ids = h.create_many(n)
    h.scheduler("start")
    h.wait_stats(sent=n, timeout=180)
    lines = s.lines()
    assert len(lines) == n and len({x["key"] for x in lines}) == n
    assert sorted(x["content"] for x in lines) == sorted(f"message {i}" for i in range(n))
    assert ids == sorted(ids)


@pytest.mark.bulk
def test_a_receiver_that_often_fails_gets_everything_in_the_end(herald, real_sink):
    s = real_sink("--fail-rate", "0.3")
    h = herald(WEBHOOK_URL=s.url, MAX_ATTEMPTS=100, RETRY_BACKOFF="10ms", LOG_LEVEL="info")
    h.create_many(5000)
    h.wait_stats(sent=5000, timeout=180)
    lines = s.lines()
    accepted = [x for x in lines if x["status"] == 202]
    assert len(accepted) == 5000 and len({x["key"] for x in accepted}) == 5000
    assert len(lines) > 6000
    # What the receiver said is what herald remembers.
    for x in accepted[::500]:
        i = int(x["content"].split()[1]) + 1
        assert h.get(i)["messageId"] == x["messageId"]


@pytest.mark.bulk
@pytest.mark.parametrize("connections", [16, 128, 256])
def test_many_connections_to_the_api(herald, connections):
    h = herald(AUTO_START_SCHEDULER="false", LOG_LEVEL="info")
    each = 2000 // connections + 1
    errors = []

    def one(n):
        try:
            client = h.client()
            for i in range(each):
                a = client.post("/api/v1/messages", {"phoneNumber": PHONE, "content": f"{n} {i}"})
                assert a.status == 201, a
            client.close()
        except BaseException as e:
            errors.append(e)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    assert h.stats()["pending"] == connections * each


def test_reading_and_writing_and_sending_at_once(herald, sink):
    """Every kind of request beside each other, for the race detectors above all."""
    s = sink()
    h = herald(WEBHOOK_URL=s.url, LOG_LEVEL="info")
    stop = threading.Event()
    errors = []
    created = []

    def work(n):
        try:
            client = h.client()
            i = 0
            while not stop.is_set():
                i += 1
                if n < 2:
                    a = client.post("/api/v1/messages", {"phoneNumber": PHONE, "content": f"{n} {i}"})
                    assert a.status == 201, a
                    created.append(a.data["id"])
                    continue
                path = ("/api/v1/messages?pageSize=100", "/metrics", "/api/v1/messages/cached", "/health",
                        "/api/v1/scheduler/runs", "/api/v1/messages/sent?page=2&pageSize=5",
                        "/api/v1/scheduler/status", "/api/v1/messages/stats", "/openapi.json")[i % 9]
                a = client.get(path)
                assert a.status == 200, (path, a)
                if n == 2 and i % 5 == 0:
                    verb = ("stop", "start")[i // 5 % 2]
                    assert client.post(f"/api/v1/scheduler/{verb}").status == 200
                if created and i % 7 == 0:
                    assert client.delete(f"/api/v1/messages/{created[-1]}").status in (200, 409)
            client.close()
        except BaseException as e:
            errors.append(e)
            stop.set()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    stop.wait(3)
    stop.set()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    h.scheduler("start")
    eventually(lambda: not h.stats()["pending"] + h.stats()["sending"], 60)
    stats = h.stats()
    assert stats["sent"] + stats["cancelled"] == len(created) == stats["total"]
    assert stats["sent"] == len(s.requests) == len(s.seen)
