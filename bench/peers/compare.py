#!/usr/bin/env python3
"""The comparison of bench/peers/run: herald and job queues, in turns, on the same servers and receiver."""
import argparse
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measure_servers import all_sent, filled, fresh_postgres, place_servers, servers  # noqa: E402
from report import Result, busy_share, heading, machine, table, write_section  # noqa: E402
from rig import Herald, Nginx, Redis, cpu_seconds, drain, say  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
CONCURRENCY = 64


def peer(a, name, sink, database, server):
    """Seconds that a peer takes to deliver a.messages, which it stores before the clock starts, and those of
    processor time that it and the server of its database take."""
    before = sink.requests()
    with subprocess.Popen([a.node, HERE / f"{name}.mjs", sink.url, database, str(a.messages), str(CONCURRENCY)],
                          env={"PATH": "/usr/bin:/bin", "NODE_ENV": "production"}, cwd=HERE, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as p:
        line = p.stdout.readline()
        assert line == "ready\n", f"{name}: {line}"
        time.sleep(1)
        cpu = cpu_seconds(p.pid) + cpu_seconds(server)
        p.stdin.write("go\n")
        p.stdin.flush()
        seconds = float(p.stdout.readline().split()[0])
        cpu = cpu_seconds(p.pid) + cpu_seconds(server) - cpu
        p.stdin.close()
        assert p.wait(60) == 0, name
    delivered = sink.requests() - before
    assert delivered == a.messages, f"{name}: {delivered} of {a.messages} arrived"
    return seconds, cpu


def herald(a, sink, database, server):
    h = filled(a, Herald(a.herald, a.dir, database, sink.url, SEND_CONCURRENCY=str(CONCURRENCY)), a.messages)
    time.sleep(1)
    cpu = h.cpu() + cpu_seconds(server)
    seconds = drain(h, a.messages, sink=sink)
    cpu = h.cpu() + cpu_seconds(server) - cpu
    all_sent(h, a.messages)
    h.stop()
    return seconds, cpu


NAMES = {"herald": "herald, PostgreSQL", "graphile-worker": "graphile-worker, PostgreSQL",
         "pg-boss": "pg-boss, PostgreSQL", "bullmq": "BullMQ, Redis (appendfsync always)"}


def compare(a, sink):
    rates, costs = {name: [] for name in NAMES}, {name: [] for name in NAMES}
    ratios = []
    with servers.Postgres(durable=True) as pg:
        for _ in range(1 if a.quick else 5):
            for name in NAMES:
                if name == "bullmq":
                    redis = Redis(a.redis, a.dir, durable=True)
                    seconds, cpu = peer(a, name, sink, redis.url, redis.process.pid)
                    redis.stop()
                elif name == "herald":
                    seconds, cpu = herald(a, sink, fresh_postgres(pg), pg.process.pid)
                else:
                    seconds, cpu = peer(a, name, sink, fresh_postgres(pg), pg.process.pid)
                rates[name].append(a.messages / seconds)
                costs[name].append(cpu / a.messages * 1e6)
                say(f"  {name}: {rates[name][-1]:,.0f}/s, {costs[name][-1]:.0f} µs")
            ratios.append(rates["herald"][-1] / max(of[-1] for name, of in rates.items() if name != "herald"))
    return [*(Result(f"{shown}: {a.messages:,} messages", "messages/s", rates[name]) for name, shown in NAMES.items()),
            Result("herald against the best of the others, run by run", "×", ratios, 1.7, digits=2),
            *(Result(f"{shown}: processor time per message, with its server", "µs", costs[name])
              for name, shown in NAMES.items())]


def main():
    p = argparse.ArgumentParser(prog="bench/peers/run")
    for name in ("herald", "nginx", "redis", "node", "dir"):
        p.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="small and once, to see whether it works")
    p.add_argument("--messages", type=int, help="how many (default 30,000; with --quick 5,000)")
    p.add_argument("--out", type=pathlib.Path, metavar="FILE", help="a Markdown document: the table goes between its "
                   "marks <!-- bench:peers:begin --> and <!-- bench:peers:end -->, or to its end")
    a = p.parse_args()
    a.messages = a.messages or (5_000 if a.quick else 30_000)
    a.dir = pathlib.Path(a.dir).resolve()
    head = heading(a.herald, machine(place_servers(a.dir)), busy_share())
    sink = Nginx(a.nginx, a.dir)
    try:
        text = table(head, compare(a, sink))
    finally:
        sink.stop()
    print(text)
    if a.out:
        write_section(a.out, "peers", text)


main()
