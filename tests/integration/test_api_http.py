"""How the API behaves as an HTTP server: framing, limits, slow clients, methods."""
import http.client
import json
import select
import socket
import threading
import time

import pytest

from herald import MESSAGES_KEY, PHONE, SLOW, eventually

KEY = f"x-ins-auth-key: {MESSAGES_KEY}\r\n"
BODY = json.dumps({"phoneNumber": PHONE, "content": "raw"}).encode()


class Raw:
    """A socket, and a reader of answers."""

    def __init__(self, h, timeout=60):
        self.s = socket.create_connection(("127.0.0.1", h.port), timeout * SLOW)
        self.f = self.s.makefile("rb")

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def answer(self, method="GET"):
        r = http.client.HTTPResponse(self.s, method=method)
        r.fp.close()
        r.fp = self.f
        r.begin()
        r.fp = NoClose(self.f)
        return r.status, r.headers, r.read()

    def ended(self):
        """Whether the server closes without another byte."""
        try:
            return self.f.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.f.close()
        self.s.close()


class NoClose:
    """HTTPResponse closes its file after the body; the connection goes on."""

    def __init__(self, f):
        self.f = f

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(self.f, name)


@pytest.fixture
def server(herald):
    return herald(AUTO_START_SCHEDULER="false")


@pytest.fixture
def raw(server):
    made = []

    def make():
        made.append(Raw(server))
        return made[-1]
    yield make
    for one in made:
        one.close()


def post(path="/api/v1/messages", headers="", body=BODY, key=KEY, length=None):
    length = len(body) if length is None else length
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\n"
            f"Content-Length: {length}\r\n{headers}\r\n").encode() + body


def code(answer):
    return answer[0], json.loads(answer[2])["code"]


# --- connections


def test_keep_alive_and_pipelining(raw, server):
    r = raw()
    for _ in range(3):
        r.send(post())
        assert r.answer()[0] == 201
    r.send(post() + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + post() + post(body=b"{"))
    assert [r.answer()[0] for _ in range(4)] == [201, 200, 201, 400]
    assert server.stats()["total"] == 5


def test_refusals_keep_the_connection(raw):
    """A small body is read over, so that the next request finds its beginning."""
    r = raw()
    r.send(post(key="") + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" + post("/nope") + post())
    assert [r.answer()[0] for _ in range(4)] == [401, 404, 404, 201]


def test_http_1_0(raw):
    r = raw().send(f"GET /api/v1/messages/stats HTTP/1.0\r\n{KEY}\r\n")
    assert r.answer()[0] == 200
    assert r.ended()


def test_connection_close(raw):
    r = raw().send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    status, headers, _ = r.answer()
    assert status == 200 and headers["Connection"] == "close"
    assert r.ended()


def test_absolute_target(raw):
    assert raw().send("GET http://herald/livez?a=b HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200


def test_client_that_leaves_early(raw, server):
    for _ in range(20):
        r = raw().send(post())
        r.close()
    eventually(lambda: server.stats()["total"] == 20)
    assert server.api.get("/livez").status == 200


def test_client_that_resets(raw, server):
    """Resets at every stage of a request's life leave nothing behind but, perhaps, the message."""
    for i in range(200):
        r = raw().send(post() if i % 2 else f"GET /api/v1/messages HTTP/1.1\r\nHost: x\r\n{KEY}\r\n")
        time.sleep(i % 10 * 0.0003)
        r.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        r.close()
    server.forget_connection()
    eventually(lambda: server.client().get("/metrics").body.count(b"\nherald_http_connections 1\n") == 1)
    assert server.stats()["total"] <= 100


def test_too_many_connections(herald):
    h = herald(API_MAX_CONNECTIONS="16", AUTO_START_SCHEDULER="false")
    # Those that asked whether it is ready have been seen to go; the one that asks here is the first of 16.
    eventually(lambda: h.metric("herald_http_connections") == 1)
    held = []
    try:
        for _ in range(15):
            r = Raw(h)
            held.append(r)
            r.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert r.answer()[0] == 200
        extra = Raw(h)
        held.append(extra)
        try:
            extra.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            pass
        assert extra.ended()
        for r in held[:8]:
            r.close()

        def served():
            try:
                return h.client().get("/livez").status == 200
            except (OSError, http.client.HTTPException):
                return False
        eventually(served)
    finally:
        for r in held:
            r.close()


def test_connections_are_counted_right(server):
    """By all threads together, also when many come and go at once."""
    eventually(lambda: server.metric("herald_http_connections") == 1)
    for _ in range(20):
        many = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(32)]
        eventually(lambda: server.metric("herald_http_connections") == 33)
        for s in many:
            s.close()
        eventually(lambda: server.metric("herald_http_connections") == 1)


def test_many_ready_at_once(server):
    """256 connections ready in the same moment: a multiple of 128, where an event loop of libmicrohttpd's own
    would wait its full timeout."""
    connections = [Raw(server) for _ in range(256)]
    try:
        for _ in range(5):
            for r in connections:
                r.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert {r.answer()[0] for r in connections} == {200}
    finally:
        for r in connections:
            r.close()


# --- methods


def test_methods(server):
    a = server.api.request("PUT", "/api/v1/messages")
    assert a.status == 405 and a.json["code"] == 405001
    assert a.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    a = server.api.request("DELETE", "/api/v1/messages/stats", key=None)
    assert a.status == 405 and a.headers["Allow"] == "GET, HEAD, OPTIONS"
    a = server.api.request("OPTIONS", "/api/v1/messages/1", key=None)
    assert a.status == 204 and a.headers["Allow"] == "GET, HEAD, DELETE, OPTIONS" and a.body == b""
    assert server.api.request("BREW", "/livez").status == 405


def test_head(server):
    a = server.api.request("HEAD", "/api/v1/messages/stats")
    b = server.api.get("/api/v1/messages/stats")
    assert a.status == 200 and a.body == b""
    assert a.headers["Content-Length"] == str(len(b.body))
    assert server.api.request("HEAD", "/api/v1/messages/stats", key=None).status == 401


# --- bodies


@pytest.mark.parametrize("text, ok", [
    ("application/json", True), ("Application/JSON; charset=utf-8", True), ("application/json;charset=\"UTF-8\"", True),
    ("application/json; charset=latin-1", False), ("application/jsonx", False), ("text/plain", False),
    ("application/x-www-form-urlencoded", False), ("application/x-ndjson", False), ("", False), (None, False),
])
def test_content_type(server, text, ok):
    a = server.api.request("POST", "/api/v1/messages", BODY, headers={"Content-Type": text})
    assert (a.status, a.json.get("code")) == ((201, None) if ok else (415, 415001)), a


def test_body_over_the_limit_is_refused_unread(raw, server):
    r = raw().send(post(body=b"", length=1024 * 1024 + 1, headers="Expect: 100-continue\r\n"))
    answer = r.answer()
    assert code(answer) == (413, 413001) and json.loads(answer[2])["details"] == {"limit": 1048576}
    r = raw().send(post(body=b"", length=1024 * 1024 + 1))
    assert code(r.answer()) == (413, 413001)


def test_client_that_sends_before_it_reads_gets_its_answer(server):
    """The whole body is written first; the 413 must not be lost to a reset."""
    a = server.client().post("/api/v1/messages", b" " * (8 * 1024 * 1024))
    assert a.status == 413 and a.json["code"] == 413001
    a = server.client().post("/api/v1/messages", b" " * (8 * 1024 * 1024), key="wrong")
    assert a.status == 401


def test_largest_body(server):
    body = BODY + b" " * (1024 * 1024 - len(BODY))
    assert server.api.post("/api/v1/messages", body).status == 201


def test_expect_continue(raw):
    r = raw().send(post(body=b"", length=len(BODY), headers="Expect: 100-continue\r\n"))
    assert r.f.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert r.f.readline() == b"\r\n"
    assert r.send(BODY).answer()[0] == 201


CHUNKED = (f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n{KEY}Content-Type: application/json\r\n"
           "Transfer-Encoding: chunked\r\n\r\n").encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_chunked(raw):
    r = raw().send(CHUNKED)
    for i in range(0, len(BODY), 7):
        r.send(chunk(BODY[i:i + 7]))
    r.send(b"0\r\n\r\n")
    assert r.answer()[0] == 201
    r.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert r.answer()[0] == 200


def test_chunked_over_the_limit_is_refused_as_soon_as_it_is(raw, server):
    r = raw().send(CHUNKED)
    part = chunk(b" " * 65536)
    try:
        for _ in range(17):
            r.send(part)
    except OSError:
        pass
    assert code(r.answer()) == (413, 413001)
    assert r.ended()
    assert server.api.get("/livez").status == 200


def test_bad_chunk(raw, server):
    for bad in (b"xyz\r\n", b"5\r\nabcdefg\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"):
        r = raw().send(CHUNKED + bad)
        assert r.answer()[0] in (400, 413)
        assert r.ended()
    assert server.stats()["total"] == 0


@pytest.mark.parametrize("headers", [
    "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n", f"Content-Length: {len(BODY)}\r\n",
])
def test_two_ways_to_find_the_end(raw, server, headers):
    r = raw().send(post(headers=headers))
    assert code(r.answer()) == (400, 400001)
    assert r.ended()
    assert server.stats()["total"] == 0


@pytest.mark.parametrize("encoding", ["gzip", "chunked, gzip", "identity", "x"])
def test_unknown_transfer_encoding(raw, encoding):
    r = raw().send(f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n{KEY}Transfer-Encoding: {encoding}\r\n\r\n")
    assert r.answer()[0] == 400
    assert r.ended()


@pytest.mark.parametrize("length", ["-1", "x", "1 1", "18446744073709551616", "+5", "0x5"])
def test_bad_content_length(raw, server, length):
    data = raw().send(post(length=length)).f.read()
    assert data.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")), data
    assert server.stats()["total"] == 0


@pytest.mark.parametrize("headers", [
    "Content-Length : 2\r\n", "Content Length: 2\r\n", "X: a\x01b\r\n", "X: \x7f\r\n", "Host: y\r\n", "H\xe4: x\r\n",
])
def test_bad_headers(raw, server, headers):
    head = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n{KEY}{headers}\r\n".encode("latin-1")
    r = raw().send(head + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert code(r.answer()) == (400, 400001)
    assert r.ended()


@pytest.mark.parametrize("target", ["/livez?\x7f", "/livez?a b", "/livez\t", "/livez?\xc3\xa4"])
def test_bad_target(raw, target):
    r = raw().send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert code(r.answer()) == (400, 400001)
    assert r.ended()


@pytest.mark.parametrize("line", ["GET", "\x01\x02", "GET / HTTP/9.9", "GET / FTP/1.1"])
def test_bad_request_line(raw, server, line):
    r = raw().send(f"{line}\r\nHost: x\r\n\r\n")
    data = r.f.read()
    assert data == b"" or data.startswith(b"HTTP/1.1 400") or data.startswith(b"HTTP/1.1 505"), data
    assert server.api.get("/livez").status == 200


def test_host_is_needed(raw):
    assert code(raw().send("GET /livez HTTP/1.1\r\n\r\n").answer()) == (400, 400001)


def test_bodies_of_many_do_not_exceed_the_budget(herald):
    """Bodies that are announced take their share at once; who finds none left is told to come again."""
    h = herald(AUTO_START_SCHEDULER="false", API_MAX_BATCH_BYTES="16MiB")
    held = []
    try:
        for _ in range(5):
            r = Raw(h)
            held.append(r)
            r.send(post("/api/v1/messages/batch", body=b"[", length=16 * 1024 * 1024))
        # Several threads take them in, so any of them may be the one too many.
        answered, _, _ = select.select([r.s for r in held], [], [], 30 * SLOW)
        refused = [r for r in held if r.s in answered]
        assert len(refused) == 1
        answer = refused[0].answer()
        assert code(answer) == (503, 503001) and answer[1]["Retry-After"] == "1"
        next(r for r in held if r is not refused[0]).close()
        eventually(lambda: h.client().post("/api/v1/messages/batch", b" " * 100000).status == 400)
    finally:
        for r in held:
            r.close()


# --- headers


def test_too_many_headers(raw):
    def get(n):
        more = "".join(f"X-{i}: y\r\n" for i in range(n))
        return raw().send(f"GET /livez HTTP/1.1\r\nHost: x\r\n{more}\r\n").answer()
    assert get(63)[0] == 200
    assert code(get(64)) == (431, 431001)
    assert get(3000)[0] == 431


def test_too_large_headers(raw):
    def get(n):
        return raw().send(f"GET /livez HTTP/1.1\r\nHost: x\r\nX: {'y' * n}\r\n\r\n").answer()
    assert get(16000)[0] == 200
    assert code(get(17000)) == (431, 431001)
    assert get(100000)[0] == 431


def test_too_long_target(raw):
    def get(n):
        return raw().send(f"GET /livez?{'y' * n} HTTP/1.1\r\nHost: x\r\n\r\n").answer()
    assert get(8000)[0] == 200
    assert code(get(9000)) == (414, 414001)
    assert get(100000)[0] == 414


# --- slow clients


@pytest.fixture
def impatient(herald):
    return herald(API_REQUEST_TIMEOUT="2s", AUTO_START_SCHEDULER="false")


def trickle(r, data, step=0.25):
    """One byte at a time, until the server has had enough. Returns whether it had."""
    try:
        for i in range(len(data)):
            r.s.sendall(data[i:i + 1])
            time.sleep(step)
    except OSError:
        return True
    return r.ended()


@pytest.mark.parametrize("data", [b"GET /livez HTTP/1.1\r\n", b"\r\n" * 10])
def test_slow_request_line(impatient, data):
    r = Raw(impatient)
    began = time.monotonic()
    assert trickle(r, data * 20)
    assert time.monotonic() - began < 40
    r.close()


@pytest.mark.parametrize("start, rest", [
    (b"GET /livez HTTP/1.1\r\n", b"X-A: b\r\n" * 100),
    (post(body=b"", length=1000), b" " * 1000),
    (CHUNKED, b"1\r\n \r\n" * 100),
])
def test_slow_headers_and_bodies(impatient, start, rest):
    r = Raw(impatient).send(start)
    stop = threading.Event()

    def feed():
        for i in range(len(rest)):
            try:
                r.s.sendall(rest[i:i + 1])
            except OSError:
                return
            if stop.wait(0.25):
                return
    t = threading.Thread(target=feed)
    t.start()
    began = time.monotonic()
    try:
        assert code(r.answer()) == (408, 408001)
        assert time.monotonic() - began < 40
        assert r.ended()
    finally:
        stop.set()
        t.join()
        r.close()
    eventually(lambda: impatient.metric("herald_http_connections") == 1)


def test_patient_client_keeps_its_connection(impatient):
    """The time is for sending a request, not for having none."""
    r = Raw(impatient)
    for _ in range(2):
        assert r.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
        time.sleep(3.5)
    assert r.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").answer()[0] == 200
    r.close()


def test_slow_clients_hold_up_nobody(herald):
    """While they take their time, which is longer than the others are ready to wait."""
    h = herald(API_REQUEST_TIMEOUT="10m", AUTO_START_SCHEDULER="false")
    slow = [Raw(h).send(post(body=b"", length=len(BODY))) for _ in range(50)]
    for _ in range(20):
        h.create()
    assert not select.select([r.s for r in slow], [], [], 0)[0]
    assert {r.send(BODY).answer()[0] for r in slow} == {201}
    for r in slow:
        r.close()


def test_many_slow_clients_are_told_so(impatient):
    slow = [Raw(impatient).send(post(body=b"", length=1000)) for _ in range(50)]
    assert all(r.answer()[0] == 408 for r in slow)
    for r in slow:
        r.close()
