#!/usr/bin/env python3
"""The measurements of bench/run. Every figure is the median of several runs; the extremes are shown beside it."""
import argparse
import datetime
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
KEY = "messages-key-of-the-bench"
SCHEDULER_KEY = "scheduler-key-of-the-bench"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Nginx:
    def __init__(self, binary, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        conf = directory / "nginx.conf"
        text = (HERE / "nginx.conf.in").read_text()
        conf.write_text(text.replace("@DIR@", str(directory)).replace("@PORT@", str(self.port)))
        self.process = subprocess.Popen([binary, "-p", directory, "-c", conf], stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.02)
        c = http.client.HTTPConnection("127.0.0.1", self.port)
        c.request("POST", "/", b"{}")
        r = c.getresponse()
        body = r.read()
        assert r.status == 202 and len(body) == 72, (r.status, len(body))

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Herald:
    def __init__(self, binary, directory, database, sink, **env):
        self.binary, self.directory = binary, directory
        self.port = free_port()
        self.env = {"PATH": os.environ["PATH"], "SERVER_PORT": str(self.port), "DATABASE_URL": f"sqlite:{database}",
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


def remove_database(path):
    for suffix in ("", "-wal", "-shm", "-lock"):
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)


def drain(h, n, sample=None):
    """Starts the scheduler and waits until n more are sent; returns the seconds."""
    target = h.stats()["sent"] + n
    begin = time.perf_counter()
    h.scheduler("start")
    while h.stats()["sent"] < target:
        if sample:
            sample()
        time.sleep(0.01)
    return time.perf_counter() - begin


def store_cost(before, after):
    """Seconds that the store spent in claim and settle per message, and the messages."""
    def delta(name):
        return sum(v - before.get(k, 0) for k, v in after.items() if re.fullmatch(name, k))
    seconds = delta(r'herald_store_seconds_sum\{op="(claim|settle)"\}')
    messages = delta(r'herald_attempts_total(\{.*\})?')
    assert seconds > 0 and messages > 0, sorted(after)
    return seconds / messages, messages


class Result:
    def __init__(self, name, unit, values, target=None, at_most=False, digits=0):
        self.name, self.unit, self.values, self.target, self.at_most, self.digits = name, unit, values, target, at_most, digits
        say(f"  {name}: {self.show(self.median)} {unit}")

    @property
    def median(self):
        return statistics.median(self.values)

    def show(self, v):
        return f"{v:,.{self.digits}f}"

    def row(self):
        target, met = "", ""
        if self.target is not None:
            target = f"{'≤' if self.at_most else '≥'} {self.show(self.target)}"
            met = "yes" if (self.median <= self.target if self.at_most else self.median >= self.target) else "**no**"
        return (f"| {self.name} | {self.show(self.median)} {self.unit} | {self.show(min(self.values))} – "
                f"{self.show(max(self.values))} | {len(self.values)} | {target} | {met} |")


def machine(directory):
    cpu = next((x.split(":")[1].strip() for x in open("/proc/cpuinfo", encoding="utf-8") if x.startswith("model name")), "?")
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo", encoding="ascii").read())[1]) / 1048576
    fs = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True).stdout.strip()
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    debian = pathlib.Path("/etc/debian_version").read_text().strip() if os.path.exists("/etc/debian_version") else "?"
    begin = time.perf_counter()
    with open(directory / "fsync", "wb", buffering=0) as f:
        for _ in range(200):
            f.write(b"x" * 4096)
            os.fdatasync(f.fileno())
    (directory / "fsync").unlink()
    sync = (time.perf_counter() - begin) / 200 * 1e6
    return (f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, Debian {debian}, Linux {platform.release()}, "
            f"{fs} (4 KiB write + fdatasync: {sync:.0f} µs), gcc {gcc}, -O3 with link-time optimisation")


def measure(a, sink):
    quick = a.quick
    reps = 1 if quick else 5
    seconds = 2 if quick else 6
    small = 20_000 if quick else 200_000
    rows = 50_000 if quick else 1_000_000
    large = 300_000 if quick else 5_000_000
    results = []
    db = a.dir / "bench.db"

    def herald(database, **env):
        return Herald(a.herald, a.dir, database, sink.url, **env)

    def imported(database, n):
        remove_database(database)
        csv = a.dir / f"{n}.csv"
        make_csv(csv, n)
        h = herald(database)
        h.start()
        h.run("import", csv)
        assert h.stats()["pending"] == n
        h.stop()
        csv.unlink()

    say("wrk to the sink")
    raw = Result("wrk POSTing to the receiver, 64 connections", "requests/s",
                 [wrk(a.wrk, "sink.lua", sink.url, seconds)["rate"] for _ in range(reps)])
    results.append(raw)

    say(f"drain of {small}")
    imported(a.dir / "pending.db", small)
    rates, ratios, costs = [], [], []
    for _ in range(reps):
        remove_database(db)
        shutil.copy(a.dir / "pending.db", db)
        h = herald(db)
        h.start()
        rates.append(small / drain(h, small))
        stats = h.stats()
        assert stats["sent"] == small and not stats["failed"], stats
        h.stop()
        # The same neighbour at the same time of day: the ratio is more steady than either figure.
        ratios.append(rates[-1] / wrk(a.wrk, "sink.lua", sink.url, max(2, seconds // 3))["rate"])
    results.append(Result(f"drain of {small:,} messages from SQLite (FULL)", "messages/s", rates, 20_000))
    results.append(Result("… as a share of wrk's rate", "×", ratios, 0.25, digits=2))
    remove_database(a.dir / "pending.db")

    say("single creates")
    rates, p99 = [], []
    for _ in range(reps):
        remove_database(db)
        h = herald(db)
        h.start()
        r = wrk(a.wrk, "create.lua", f"http://127.0.0.1:{h.port}/api/v1/messages", seconds)
        rates.append(r["rate"])
        p99.append(r["p99"])
        stored = h.stats()["pending"]
        assert r["count"] <= stored <= r["count"] + 64, (r, stored)
        h.stop()
    results.append(Result("single durable creates, 64 connections", "requests/s", rates, 20_000))
    results.append(Result("… 99th percentile of their latency", "ms", p99, digits=1))

    say(f"import of {rows}")
    csv = a.dir / "import.csv"
    make_csv(csv, rows)
    rates, peaks = [], []
    for _ in range(reps if quick else 3):
        remove_database(db)
        h = herald(db)
        h.start()
        begin = time.perf_counter()
        h.run("import", csv)
        rates.append(rows / (time.perf_counter() - begin))
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        assert h.stats()["pending"] == rows
        h.stop()
    csv.unlink()
    results.append(Result(f"import of {rows:,} rows (CSV)", "rows/s", rates, 150_000))

    say("claim + settle, 10,000 rows")
    cost_small = []
    imported(a.dir / "10k.db", 10_000)
    for _ in range(reps * 2):
        remove_database(db)
        shutil.copy(a.dir / "10k.db", db)
        h = herald(db)
        h.start()
        before = h.metrics()
        drain(h, 10_000)
        cost_small.append(store_cost(before, h.metrics())[0] * 1e6)
        h.stop()
    remove_database(a.dir / "10k.db")
    results.append(Result("claim + settle per message, 10,000 rows", "µs", cost_small, digits=2))

    say(f"{large} rows")
    big = a.dir / "large.db"
    remove_database(big)
    remaining = large
    chunk = 1_000_000
    while remaining:
        n = min(chunk, remaining)
        make_csv(csv, n, large - remaining)
        h = herald(big)
        h.start()
        h.run("import", csv)
        h.stop()
        remaining -= n
    csv.unlink()
    starts, idle = [], []
    for _ in range(reps):
        h = herald(big)
        starts.append(h.start() * 1000)
        time.sleep(1)
        idle.append(h.memory())
        h.stop()
    say(f"{os.path.getsize(big) / 2**20:.0f} MiB")
    cost_large, load = [], []
    big_rates = []
    for _ in range(reps):
        h = herald(big)
        h.start()
        before = h.metrics()
        # As many messages as with the small table, so that batches have as much time to grow.
        drain(h, 10_000)
        cost_large.append(store_cost(before, h.metrics())[0] * 1e6)
        n = min(small, large // (reps + 1)) - 10_000
        big_rates.append(n / drain(h, n, lambda: load.append(h.memory())))
        peak = h.memory("VmHWM")
        load.append(peak)
        h.scheduler("stop")
        h.stop()
    results.append(Result(f"claim + settle per message, {large:,} rows", "µs", cost_large, digits=2))
    results.append(Result("… against 10,000 rows", "×",
                          [statistics.median(cost_large) / statistics.median(cost_small)], 1.3, True, 2))
    results.append(Result(f"drain with {large:,} rows", "messages/s", big_rates))
    results.append(Result(f"resident memory, idle, {large:,} rows", "MiB", idle, 20, True, 1))
    results.append(Result(f"resident memory, draining, {large:,} rows (peak)", "MiB", [max(load)], 80, True, 1))
    results.append(Result(f"start to ready, {large:,} rows", "ms", starts, 100, True))
    remove_database(big)
    remove_database(db)
    return results


def main():
    p = argparse.ArgumentParser()
    for name in ("herald", "wrk", "nginx", "dir", "report"):
        p.add_argument(f"--{name}", required=True)
    p.add_argument("--quick", action="store_true")
    a = p.parse_args()
    a.dir = pathlib.Path(a.dir).resolve()
    begin = time.monotonic()
    about = machine(a.dir)
    sink = Nginx(a.nginx, a.dir)
    try:
        results = measure(a, sink)
    finally:
        sink.stop()
    version = subprocess.run([a.herald, "version"], capture_output=True, text=True, check=True).stdout.strip()
    table = "\n".join([
        f"{version}, {datetime.date.today().isoformat()}. {about}. Receiver: nginx with one worker on the same machine.",
        "",
        "| what | median | lowest – highest | runs | target | met |",
        "|---|---|---|---|---|---|",
        *(r.row() for r in results)])
    print(table)
    say(f"{time.monotonic() - begin:.0f} s")
    if not a.quick:
        report = pathlib.Path(a.report)
        text = report.read_text(encoding="utf-8")
        head, _, rest = text.partition("<!-- bench:begin -->\n")
        _, _, tail = rest.partition("<!-- bench:end -->")
        report.write_text(f"{head}<!-- bench:begin -->\n{table}\n<!-- bench:end -->{tail}", encoding="utf-8")


main()
