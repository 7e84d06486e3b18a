"""Drains from the databases that several nodes share; a cache beside one; several nodes on one.

The servers are those of the tests, but durable: each commit is on the disk before it is answered."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from report import Result
from rig import Herald, HERE, Redis, SlowSink, cpu_seconds, drain, make_csv, say, wrk

sys.path.insert(0, str(HERE.parent / "tests/servers"))
import servers  # noqa: E402


def place_servers(directory):
    """Where servers keep their data: the directory that is measured, if their user can get there."""
    if os.geteuid() == 0 and not all(p.stat().st_mode & 0o001 for p in (directory, *directory.parents)):
        directory = pathlib.Path("/var/tmp")
        say(f"database servers run as nobody, so their data is in {directory}")
    tempfile.tempdir = str(directory)
    return directory


def filled(a, h, n):
    """herald started on an empty database, with n messages pending and not sending."""
    csv = a.dir / "drain.csv"
    make_csv(csv, n)
    h.start()
    h.run("import", csv)
    csv.unlink()
    assert h.stats()["pending"] == n
    return h


def all_sent(h, n):
    stats = h.stats()
    assert stats["sent"] == n and not stats["failed"], stats


class Drains:
    """The figures of several drains of the same kind."""

    def __init__(self):
        self.rates, self.ratios, self.herald_cpu, self.server_cpu = [], [], [], []

    def one(self, a, sink, h, n, server_pids, sent=None, yardstick=True):
        before = h.cpu(), sum(map(cpu_seconds, server_pids))
        self.rates.append(n / drain(h, n, sink=sink, sent=sent))
        self.herald_cpu.append((h.cpu() - before[0]) / n * 1e6)
        self.server_cpu.append((sum(map(cpu_seconds, server_pids)) - before[1]) / n * 1e6)
        if not sent:
            all_sent(h, n)
        h.stop()
        if not yardstick:
            return
        # The same neighbour at the same time of day: the ratio is more steady than either figure.
        self.ratios.append(self.rates[-1] / wrk(a.wrk, "sink.lua", sink.url, 1 if a.quick else 2)["rate"])

    def results(self, what, n, target):
        return [Result(f"drain of {n:,} messages from {what}", "messages/s", self.rates, target),
                Result("… as a share of wrk's rate", "×", self.ratios, digits=2),
                Result("… processor time of herald per message", "µs", self.herald_cpu, digits=1),
                Result("… processor time of the database server per message", "µs", self.server_cpu, digits=1)]


def version_of(program, flag="--version"):
    text = subprocess.run([program, flag], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.\d+(\.\d+)?", text)[0]


def fresh_postgres(pg):
    pg.sql("DROP DATABASE IF EXISTS herald WITH (FORCE)", "postgres")
    pg.sql("CREATE DATABASE herald", "postgres")
    return pg.url


def measure_postgres(a, sink):
    n, drains = 20_000 if a.quick else 150_000, Drains()
    with servers.Postgres(durable=True) as pg:
        for _ in range(1 if a.quick else 5):
            h = Herald(a.herald, a.dir, fresh_postgres(pg), sink.url)
            drains.one(a, sink, filled(a, h, n), n, [pg.process.pid])
        what = f"PostgreSQL {version_of(pg.bin / 'postgres')} (fsync, synchronous_commit)"
    return drains.results(what, n, 15_000)


def measure_mariadb(a, sink):
    n, drains = 20_000 if a.quick else 150_000, Drains()
    with servers.MariaDB(durable=True) as db:
        for _ in range(1 if a.quick else 5):
            db.sql("DROP DATABASE herald; CREATE DATABASE herald CHARACTER SET utf8mb4", "mysql")
            h = Herald(a.herald, a.dir, db.url, sink.url)
            drains.one(a, sink, filled(a, h, n), n, [db.process.pid])
        what = f"MariaDB {version_of(db.bin)} (innodb_flush_log_at_trx_commit=1)"
    return drains.results(what, n, 10_000)


def sent_in_ferretdb(db):
    """The messages that are sent, counted in the tables behind FerretDB."""
    table = db.backend.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                           r" WHERE tablename LIKE 'herald\_messages\_%'", "ferretdb")
    return int(db.backend.sql(f"SELECT count(*) FROM {table} WHERE _jsonb->'state'='2'", "ferretdb"))


def bulk_updates(a, url, rows):
    """Messages per second whose two changes (claimed, sent) the server makes when that is all it does: each by an
    update of its own; and with one update that claims a batch."""
    out = subprocess.run([a.mongo_bulk, url, str(rows)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    one_by_one, at_once = re.findall(r"([\d.]+) rows/s", out.stdout)
    return float(one_by_one), float(at_once)


def shares(rates, yardsticks):
    return [rate / yardstick for rate, yardstick in zip(rates, yardsticks)]


def measure_mongodb(a, sink):
    # FerretDB goes through the whole collection for each update: with twice the rows it takes four times as long.
    n, drains, bulk, at_once = 1_000 if a.quick else 2_500, Drains(), [], []
    for _ in range(1 if a.quick else 3):
        with servers.FerretDB(durable=True) as db:
            h = Herald(a.herald, a.dir, db.url, sink.url)
            drains.one(a, sink, filled(a, h, n), n, [db.process.pid, db.backend.process.pid],
                       sent=lambda db=db: sent_in_ferretdb(db))
            for figures, rate in zip((bulk, at_once), bulk_updates(a, db.url, n)):
                figures.append(rate)
    return [*drains.results("FerretDB 1.24 on PostgreSQL", n, None),
            Result(f"nothing but bulk updates: {n:,} rows, two updates each", "rows/s", bulk),
            Result("drain as a share of that", "×", shares(drains.rates, bulk), 0.60, digits=2),
            Result("the same with one update for each 500 claims", "rows/s", at_once),
            Result("drain as a share of that", "×", shares(drains.rates, at_once), digits=2)]


def measure_cache(a, sink):
    n = 20_000 if a.quick else 100_000
    off, on, ratios = Drains(), Drains(), []
    with servers.Postgres(durable=True) as pg:
        for i in range(2 if a.quick else 6):
            # In turns, and each of them first as often as the other.
            for cached in (i % 2 == 0, i % 2 != 0):
                redis = Redis(a.redis, a.dir) if cached else None
                env = {"REDIS_URL": redis.url} if redis else {}
                h = Herald(a.herald, a.dir, fresh_postgres(pg), sink.url, **env)
                pids = [pg.process.pid, *([redis.process.pid] if redis else [])]
                (on if cached else off).one(a, sink, filled(a, h, n), n, pids, yardstick=False)
                if redis:
                    redis.stop()
            ratios.append(on.rates[-1] / off.rates[-1])
    return [Result(f"drain of {n:,} messages from PostgreSQL, without Redis", "messages/s", off.rates),
            Result("… with every sent message written to Redis", "messages/s", on.rates),
            Result("… with Redis against without, run by run", "×", ratios, 0.95, digits=2),
            *(Result(f"processor time per message of herald and its servers, {what}", "µs",
                     [sum(pair) for pair in zip(d.herald_cpu, d.server_cpu)], digits=1)
              for what, d in (("without Redis", off), ("with it", on)))]


def steady_rate(h, n):
    """Messages per second between the first tenth and the last, when all nodes are at work."""
    marks = []
    h.scheduler("start")
    while len(marks) < 2:
        sent, now = h.stats()["sent"], time.perf_counter()
        if sent >= n * (0.1, 0.9)[len(marks)]:
            marks.append((sent, now))
        time.sleep(0.02)
    while h.stats()["sent"] < n:
        time.sleep(0.02)
    return (marks[1][0] - marks[0][0]) / (marks[1][1] - marks[0][1])


def measure_nodes(a, _):
    per_node = 3_000 if a.quick else 8_000
    rates, ratios = {1: [], 3: []}, []
    with servers.Postgres(durable=True) as pg:
        slow = SlowSink(a.herald, "50ms")
        for _ in range(1 if a.quick else 3):
            for count in (1, 3):
                n, url = per_node * count, fresh_postgres(pg)
                nodes = [Herald(a.herald, a.dir, url, slow.url, NODE_ID=f"node-{i}") for i in range(count)]
                first = filled(a, nodes[0], n)
                for h in nodes[1:]:
                    h.start()
                rates[count].append(steady_rate(first, n))
                all_sent(first, n)
                for h in nodes:
                    h.stop()
            ratios.append(rates[3][-1] / rates[1][-1])
        slow.stop()
    return [Result("one node, receiver answers after 50 ms, 64 at a time", "messages/s", rates[1]),
            Result("three nodes on the same PostgreSQL, 64 at a time each", "messages/s", rates[3]),
            Result("three nodes against one", "×", ratios, 2.7, digits=2)]
