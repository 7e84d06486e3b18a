"""SQLite, herald's own database: drain, creates, import, large tables, memory, start."""
import os
import pathlib
import re
import resource
import shutil
import statistics
import time

from report import Result
from rig import Herald, drain, make_csv, say, wrk


def remove_database(path):
    for suffix in ("", "-wal", "-shm", "-lock"):
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)


def store_cost(before, after):
    """Seconds that the store spent in claim and settle per message, and the messages."""
    def delta(name):
        return sum(v - before.get(k, 0) for k, v in after.items() if re.fullmatch(name, k))
    seconds = delta(r'herald_store_seconds_sum\{op="(claim|settle)"\}')
    messages = delta(r'herald_attempts_total(\{.*\})?')
    assert seconds > 0 and messages > 0, sorted(after)
    return seconds / messages, messages


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
        return Herald(a.herald, a.dir, f"sqlite:{database}", sink.url, **env)

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
