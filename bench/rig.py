"""What the benchmarks are made of: a receiver, herald, a Redis, load, and the processor time that it takes."""
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KEY = "messages-key-of-the-bench"
SCHEDULER_KEY = "scheduler-key-of-the-bench"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def wait_for_port(port, process):
    for _ in range(500):
        assert process.poll() is None, f"{process.args[0]} ended"
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"{process.args[0]} takes no connections")


def cpu_seconds(pid):
    """Processor time of a process and all that descend from it, those that have ended included."""
    total, todo = 0, [pid]
    while todo:
        p = todo.pop()
        try:
            fields = pathlib.Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()
            todo += pathlib.Path(f"/proc/{p}/task/{p}/children").read_text().split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


class Nginx:
    """The receiver: answers each POST with 202 and 72 bytes."""

    def __init__(self, binary, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        conf = directory / "nginx.conf"
        text = (HERE / "nginx.conf.in").read_text()
        conf.write_text(text.replace("@DIR@", str(directory)).replace("@PORT@", str(self.port)))
        self.process = subprocess.Popen([binary, "-p", directory, "-c", conf], stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)
        c = http.client.HTTPConnection("127.0.0.1", self.port)
        c.request("POST", "/", b"{}")
        r = c.getresponse()
        body = r.read()
        assert r.status == 202 and len(body) == 72, (r.status, len(body))
        self.connection = c
        self.asked = 0

    def requests(self):
        """How many it has been sent so far, without these questions."""
        self.connection.request("GET", "/requests")
        self.asked += 1
        numbers = self.connection.getresponse().read().split()
        return int(numbers[numbers.index(b"Reading:") - 1]) - self.asked

    def stop(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()


class SlowSink:
    """The receiver of herald itself, which can wait before it answers."""

    def __init__(self, binary, latency):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process = subprocess.Popen([binary, "sink", "--port", str(self.port), "--latency", latency],
                                        env={"PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Redis:
    """A redis-server of its own. durable: as durable as Redis gets, every write is on the disk before its
    answer; else its memory is all there is, as befits a cache."""

    def __init__(self, binary, directory, durable=False):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="redis-", dir=directory))
        aof = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--save", "",
             "--maxmemory-policy", "noeviction", *aof],
            executable=binary, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Herald:
    def __init__(self, binary, directory, database, sink, **env):
        self.binary, self.directory = binary, directory
        self.port = free_port()
        self.env = {"PATH": os.environ["PATH"], "SERVER_PORT": str(self.port), "DATABASE_URL": database,
                    "MESSAGES_API_KEY": KEY, "SCHEDULER_API_KEY": SCHEDULER_KEY, "WEBHOOK_URL": sink,
                    "MESSAGE_SEND_INTERVAL": "0", "AUTO_START_SCHEDULER": "false", "LOG_LEVEL": "warn",
                    "HERALD_URL": f"http://127.0.0.1:{self.port}", **env}
        self.connection = None
        self.process = None

    def start(self):
        """Returns the seconds from exec to the first 200 on /readyz."""
        log = open(self.directory / "herald.log", "ab")
        begin = time.perf_counter()
        self.process = subprocess.Popen([self.binary, "serve"], cwd=self.directory, env=self.env, stdout=log, stderr=log)
        while True:
            try:
                if self.get("/readyz")[0] == 200:
                    return time.perf_counter() - begin
            except (OSError, http.client.HTTPException):
                self.connection = None
            assert self.process.poll() is None, "herald ended; see herald.log"
            time.sleep(0.0005)

    def stop(self):
        self.connection = None
        self.process.terminate()
        assert self.process.wait(60) == 0
        self.process = None

    def request(self, method, path, body=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        key = SCHEDULER_KEY if path.startswith("/api/v1/scheduler") else KEY
        self.connection.request(method, path, body, {"x-ins-auth-key": key})
        r = self.connection.getresponse()
        return r.status, r.read()

    def get(self, path):
        return self.request("GET", path)

    def stats(self):
        return json.loads(self.get("/api/v1/messages/stats")[1])["data"]

    def scheduler(self, verb):
        status, body = self.request("POST", f"/api/v1/scheduler/{verb}")
        assert status == 200, body

    def metrics(self):
        out = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            if line and line[0] != "#":
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def memory(self, what="VmRSS"):
        for line in open(f"/proc/{self.process.pid}/status", encoding="ascii"):
            if line.startswith(what + ":"):
                return int(line.split()[1]) / 1024
        raise KeyError(what)

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def run(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], cwd=self.directory, env={**self.env, "HERALD_API_KEY": KEY},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def wrk(binary, script, url, seconds, connections=64):
    out = subprocess.run([binary, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", HERE / script, url],
                         capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: .*", out)
    assert not bad and not errors, out
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            "count": int(re.search(r"(\d+) requests in", out)[1]),
            "p99": float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]}


def make_csv(path, rows, first=0):
    with open(path, "w", encoding="ascii", buffering=1 << 20) as f:
        f.write("phoneNumber,content\n")
        for i in range(first, first + rows):
            f.write(f"+9055{i % 100000000:08d},\"Your code is {i % 1000000:06d}, valid for ten minutes.\"\n")


def drain(h, n, sample=None, sink=None, sent=None):
    """Starts the scheduler and waits until n more are sent; returns the seconds. With the sink at hand the
    database is not asked before all have arrived there: with some, a count is not for free. sent: how to
    count without herald, whose own count may be some seconds old on such a database."""
    past_herald = sent is not None
    sent = sent or (lambda: h.stats()["sent"])
    target = sent() + n
    arrive = sink.requests() + n if sink else 0
    begin = time.perf_counter()
    h.scheduler("start")
    while sink and sink.requests() < arrive:
        time.sleep(0.01)
    while sent() < target:
        if sample:
            sample()
        # Asked past herald, a server is asked by a new connection each time, which the drain would feel.
        time.sleep(0.2 if past_herald else 0.01)
    return time.perf_counter() - begin
