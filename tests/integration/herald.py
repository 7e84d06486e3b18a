"""What the integration tests are made of: a herald process, a webhook receiver, an API client.

    def test_it(herald, sink):
        s = sink()                                  # answers 202 to all, remembers all
        h = herald(WEBHOOK_URL=s.url)               # started and ready; stopped after the test
        m = h.create("hello")
        h.wait_status(m["id"], "sent")
        assert s.requests[0].json == {"to": m["phoneNumber"], "content": "hello"}

Everything listens on the loopback at ports that were free, keeps its files in the test's own directory,
and is stopped by its process id. The binary is the one that HERALD_BIN names.
"""
import datetime
import functools
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from free_port import free_port  # noqa: E402

BIN = os.path.abspath(os.environ.get("HERALD_BIN", pathlib.Path(__file__).parents[2] / "build/herald"))
SANITIZER = os.environ.get("HERALD_SANITIZER", "")  # "asan", "tsan" or empty
SLOW = 5 if SANITIZER else 1  # how much more patience a build needs
PROFILE = os.environ.get("HERALD_TEST_PROFILE", "")  # herald's own tests, in the place of another system
MESSAGES_KEY = "messages-key-of-the-tests"
SCHEDULER_KEY = "scheduler-key-of-the-tests"
PHONE = "+905551234567"


def eventually(check, timeout=30.0, step=0.02, what="the condition"):
    """The first true value that check() returns; fails after `timeout` seconds (more when sanitized). It is looked at
    once more when the time is over, since whoever waits may have been kept waiting himself."""
    end = time.monotonic() + timeout * SLOW
    while True:
        over = time.monotonic() > end
        value = check()
        if value:
            return value
        if over:
            raise AssertionError(f"{what} did not come true within {timeout * SLOW:g} s; last: {value!r}")
        time.sleep(step)


class Stalls:
    """How long this machine keeps a thread waiting that wants to run, while in the block: by how much naps take too
    long. What has to be soon may come as much later, for each of the threads that take part in it."""

    NAP, THREADS = 0.005, 6

    def __init__(self):
        self.found = []  # (from, to), seconds since 1970
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.over.is_set():
            wall, began = time.time(), time.monotonic()
            time.sleep(self.NAP)
            took = time.monotonic() - began
            if took > 2 * self.NAP:
                self.found.append((wall, wall + took))

    def excuse(self, since, until):
        """The seconds by which something may have been late at the end of that time."""
        return self.THREADS * max((b - a for a, b in list(self.found) if a < until and b > since), default=0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def environment(**more):
    """An environment of nothing but what a process needs, so that no test depends on the caller's."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    if str(more.get("DATABASE_URL", "")).startswith("mongodb"):
        # Else libmongoc keeps its counters in a shared memory file named by the pid, which a kill -9 leaves behind.
        env["MONGOC_DISABLE_SHM"] = "1"
    env.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return env


@functools.cache
def profile_environment(profile):
    """The profile, and herald's own defaults wherever it has others: what is left of it are its routes."""
    if not profile:
        return {}

    def values(*flags):
        done = subprocess.run([BIN, "config", "print", "--json", *flags], cwd="/", env=environment(), check=True,
                              capture_output=True, text=True)
        return json.loads(done.stdout)

    own = values()
    back = {k: str(own[k]["value"]).replace("True", "true").replace("False", "false")
            for k, v in values("--profile", profile).items() if v["origin"] == f"profile {profile}"
            and not k.startswith("DB_")}
    return {"HERALD_PROFILE": profile, **back}


class Answer:
    """What the API said."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def data(self):
        return self.json["data"]

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


class Client:
    """One keep-alive connection to the API; opened anew when the server went away. Not thread-safe."""

    def __init__(self, port, key=None, timeout=30 * SLOW, scheduler_key=None):
        self.port, self.key, self.timeout = port, key, timeout
        self.scheduler_key = scheduler_key
        self.connection = None

    def request(self, method, path, body=None, headers=None, key=..., timeout=None):
        """body: bytes as they are, or anything else as JSON. key: of the route's group unless given."""
        h = {}
        if key is ...:
            key = self.scheduler_key if path.startswith(("/api/v1/scheduler", "/api/v1/nodes")) else self.key
        if key:
            h["x-ins-auth-key"] = key
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            h["Content-Type"] = "application/json"
        h.update(headers or {})
        h = {k: v for k, v in h.items() if v is not None}
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                         timeout=timeout or self.timeout)
        try:
            self.connection.request(method, path, body=body, headers=h)
            r = self.connection.getresponse()
            answer = Answer(r.status, r.headers, r.read())
        except BaseException:
            self.close()
            raise
        if r.will_close:
            self.close()
        return answer

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def delete(self, path, **kw):
        return self.request("DELETE", path, **kw)


class Herald:
    """A `herald serve` process and its database; may be started, stopped and killed many times."""

    def __init__(self, directory, **env):
        self.dir = pathlib.Path(directory)
        self.port = int(env.pop("SERVER_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database = self.dir / "herald.db"
        self.env = {
            "SERVER_PORT": self.port,
            "DATABASE_URL": f"sqlite:{self.database}",
            "MESSAGES_API_KEY": MESSAGES_KEY,
            "SCHEDULER_API_KEY": SCHEDULER_KEY,
            "MESSAGE_SEND_INTERVAL": "0",
            "MESSAGE_BATCH_SIZE": "100",
            "RETRY_BACKOFF": "100ms",
            "WEBHOOK_TIMEOUT_SECONDS": 20 * SLOW,
            "WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/nobody",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
            "NODE_ID": "test",
        }
        self.env = {**profile_environment(PROFILE), **self.env, **env}
        self.log_path = self.dir / "herald.log"
        self.process = None
        self.local = threading.local()

    # --- the process

    def start(self, wait=True, **env):
        """Starts `herald serve`; env changes the configuration from now on (None takes a name out)."""
        assert self.process is None, "already started"
        self.env.update(env)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BIN, "serve"], cwd=self.dir, env=environment(**self.env),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=60):
        def ready():
            code = self.process.poll()
            assert code is None, f"herald ended with {code}:\n{self.log_text()[-3000:]}"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    pass
                probe = Client(self.port, timeout=2 * SLOW)
                try:
                    return probe.get("/readyz").status == 200
                finally:
                    probe.close()
            except (OSError, http.client.HTTPException):
                return False
        eventually(ready, timeout, 0.005, "readiness")

    def stop(self, timeout=40, expect=0):
        """SIGTERM, and the orderly end. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout, expect)

    def wait(self, timeout=40, expect=None):
        code = self.process.wait(timeout * SLOW)
        self.process = None
        self.forget_connection()
        if expect is not None:
            assert code == expect, f"herald ended with {code}:\n{self.log_text()[-3000:]}"
        return code

    def kill(self):
        """kill -9"""
        self.process.kill()
        return self.wait()

    def run(self, *arguments, input=None, timeout=60, **env):
        """Another herald command with the same configuration, as a CompletedProcess with text."""
        return subprocess.run([BIN, *map(str, arguments)], cwd=self.dir, input=input,
                              env=environment(**{**self.env, **env}), capture_output=True, text=True,
                              timeout=timeout * SLOW)

    def rss(self):
        """Resident memory in bytes."""
        for line in open(f"/proc/{self.process.pid}/status", encoding="ascii"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log(self, msg=None):
        """The log's JSON lines as dicts, of the given message only when one is given. One that is being written may
        be seen in part: it counts when it is whole."""
        lines = (line for line in self.log_text().rpartition("\n")[0].splitlines() if line.startswith("{"))
        return [d for d in map(json.loads, lines) if msg is None or d["msg"] == msg]

    def logged(self, text):
        """Waits for a line with this in its message, and returns it."""
        return eventually(lambda: next((d for d in self.log() if text in d["msg"]), None), what=f"in the log: {text}")

    def took_to_answer(self):
        """Of a herald that was stopped: the seconds from when it took no more connections until those that it had
        were done with. The discs have no part in it."""
        first, last = (datetime.datetime.fromisoformat(self.log(f"shutdown: {msg}")[-1]["ts"].replace("Z", "+00:00"))
                       for msg in ("the API stops accepting", "API requests are answered"))
        return (last - first).total_seconds()

    def cleanup(self):
        """After the test: ends the process and looks for what a sanitizer had to say."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(40 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        self.forget_connection()
        text = self.log_text()
        for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                     "WARNING: ThreadSanitizer", "BUG: ", "Assertion"):
            assert sign not in text, text[text.index(sign):][:6000]

    # --- the API

    @property
    def api(self):
        """A client for the calling thread."""
        client = getattr(self.local, "client", None)
        if client is None:
            client = self.local.client = self.client()
        return client

    def client(self, **kw):
        return Client(self.port, MESSAGES_KEY, scheduler_key=SCHEDULER_KEY, **kw)

    def forget_connection(self):
        client = getattr(self.local, "client", None)
        if client is not None:
            client.close()

    def create(self, content="Hello", phone=PHONE, headers=None, **more):
        a = self.api.post("/api/v1/messages", {"phoneNumber": phone, "content": content, **more},
                          headers=headers)
        assert a.status == 201, a
        return a.data

    def create_many(self, n, prefix="message", phone=PHONE, **more):
        """n messages by batch calls; their ids in order."""
        ids = []
        for start in range(0, n, 1000):
            rows = [{"phoneNumber": phone, "content": f"{prefix} {i}", **more}
                    for i in range(start, min(n, start + 1000))]
            a = self.api.post("/api/v1/messages/batch", rows)
            assert a.status == 201, a
            ids += batch_ids(a.data)
        assert len(ids) == n
        return ids

    def get(self, message):
        a = self.api.get(f"/api/v1/messages/{message_id(message)}")
        assert a.status == 200, a
        return a.data

    def attempts(self, message):
        a = self.api.get(f"/api/v1/messages/{message_id(message)}/attempts")
        assert a.status == 200, a
        return a.data

    def stats(self):
        a = self.api.get("/api/v1/messages/stats")
        assert a.status == 200, a
        return a.data

    def status(self):
        a = self.api.get("/api/v1/scheduler/status")
        assert a.status == 200, a
        return a.data

    def runs(self, n=100):
        a = self.api.get(f"/api/v1/scheduler/runs?pageSize={n}")
        assert a.status == 200, a
        return a.data

    def scheduler(self, verb, body=None):
        a = self.api.post(f"/api/v1/scheduler/{verb}", body)
        assert a.status == 200, a
        return a.data

    def metric(self, name):
        """The value of a series, named with its labels as rendered; None when there is none."""
        for line in self.api.get("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None

    def wait_status(self, message, *statuses, timeout=30):
        """Waits until the message has one of the statuses; returns it."""
        last = None

        def there():
            nonlocal last
            last = self.get(message)
            return last["status"] in statuses
        try:
            eventually(there, timeout)
        except AssertionError:
            raise AssertionError(f"not {statuses} but {last}") from None
        return last

    def wait_stats(self, timeout=60, **counts):
        """wait_stats(sent=10, pending=0)"""
        last = None

        def there():
            nonlocal last
            last = self.stats()
            return all(last[k] == v for k, v in counts.items())
        try:
            eventually(there, timeout, 0.05)
        except AssertionError:
            raise AssertionError(f"not {counts} but {last}") from None
        return last

    # --- the database file, read past herald

    def query(self, sql, *parameters):
        db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)
        try:
            return db.execute(sql, parameters).fetchall()
        finally:
            db.close()


def message_id(message):
    return message["id"] if isinstance(message, dict) else message


def batch_ids(data):
    """The ids in the answer to a batch create."""
    if isinstance(data, dict):
        data = data.get("ids") or data["messages"]
    return [message_id(m) for m in data]


# --- the receiver -------------------------------------------------------------------------------------------


class Request:
    """One request that the receiver has read whole. `at` is seconds since 1970, to compare with what herald says;
    `mono` measures the time between two requests, which a clock that is being set would falsify; `nth`
    counts the requests of the same Idempotency-Key, from 1."""

    def __init__(self, n, line, headers, body):
        self.n, self.line, self.headers, self.body = n, line, headers, body
        self.at, self.mono = time.time(), time.monotonic()
        self.key = headers.get("idempotency-key")
        self.nth = 0

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<request {self.n} key={self.key} nth={self.nth} at={self.at:.3f}>"


def reply(status=202, body=None, headers=None, delay=0, close=False):
    """A well-formed answer; body: bytes, a JSON value, or None for the usual messageId."""
    if body is None:
        body = {"message": "Accepted", "messageId": str(uuid.uuid4())}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    head = {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}
    if close:
        head["Connection"] = "close"
    text = f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}\r\n"
    raw = text.encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in head.items()) + b"\r\n" + body

    def behave(connection, stop):
        if delay and stop.wait(delay):
            return False
        connection.sendall(raw)
        return not close
    return behave


def after(event, behaviour=None):
    """Does nothing until the event is set, then what is given, or the usual."""
    def behave(connection, stop):
        while not event.wait(0.02):
            if stop.is_set():
                return False
        return (behaviour or reply())(connection, stop)
    return behave


def reset(connection, _stop):
    """Ends the connection with RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return False


def hang(_connection, stop):
    """Never answers."""
    stop.wait()
    return False


class Sink:
    """A webhook receiver that does to each request what the test wants: answer(request) returns a
    behaviour, a function of the connection and the "stop" event that says whether to keep the connection.
    A request is in the ledger (a list, and a file of JSON lines when asked for) before it is answered."""

    def __init__(self, answer=None, ledger=None, tls=None, port=0):
        self.answer = answer or (lambda request: reply())
        self.requests = []
        self.seen = {}
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.ledger = open(ledger, "ab", buffering=0) if ledger else None
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook"
        self.sockets = set()
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.connections += 1
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            self.sockets.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            reader = stream.makefile("rb")
            while not self.stopping.is_set():
                request = self.read(reader)
                if request is None or not self.answer(request)(stream, self.stopping):
                    break
            if stream is not connection:
                stream.close()
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            with self.lock:
                self.open -= 1
                self.sockets.discard(connection)
            try:
                connection.close()
            except OSError:
                pass

    def read(self, reader):
        line = reader.readline()
        if not line:
            return None
        headers = {}
        while (h := reader.readline()) not in (b"\r\n", b""):
            name, _, value = h.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = reader.read(length)
        if len(body) < length:
            return None
        request = Request(0, line.decode().strip(), headers, body)
        with self.lock:
            request.n = len(self.requests)
            request.nth = self.seen[request.key] = self.seen.get(request.key, 0) + 1
            self.requests.append(request)
            if self.ledger:
                self.ledger.write(json.dumps({"at": request.at, "key": request.key, "nth": request.nth,
                                              "body": request.body.decode()}).encode() + b"\n")
        return request

    def wait(self, n, timeout=30):
        """Waits until at least n requests have come."""
        eventually(lambda: len(self.requests) >= n, timeout, what=f"request {n} at the receiver")

    def contents(self):
        with self.lock:
            return [r.json["content"] for r in self.requests]

    def close(self):
        self.stopping.set()
        # A thread that sits in accept() is not woken by close() alone.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(5)
        with self.lock:
            for s in self.sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        if self.ledger:
            self.ledger.close()


def certificate(directory, name="localhost", address="127.0.0.1"):
    """A self-signed certificate for the name and address; (certificate file, key file)."""
    cert, key = pathlib.Path(directory, f"{name}.pem"), pathlib.Path(directory, f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                    f"subjectAltName=DNS:{name},IP:{address}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def tls_context(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
