#!/usr/bin/env python3
"""The measurements of bench/run. Every figure is the median of several runs; the extremes are shown beside it."""
import argparse
import pathlib
import sys
import time
import traceback

import measure_servers
import measure_sqlite
from report import busy_share, heading, machine, table, write_section
from rig import Nginx, say

SECTIONS = {"sqlite": measure_sqlite.measure, "postgres": measure_servers.measure_postgres,
            "mariadb": measure_servers.measure_mariadb, "mongodb": measure_servers.measure_mongodb,
            "cache": measure_servers.measure_cache, "nodes": measure_servers.measure_nodes}


def main():
    p = argparse.ArgumentParser(prog="bench/run")
    for name in ("herald", "mongo-bulk", "wrk", "nginx", "redis", "dir"):
        p.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    p.add_argument("--quick", action="store_true", help="small and once, to see whether it works")
    p.add_argument("--out", type=pathlib.Path, metavar="FILE", help="a Markdown document: the tables go between its "
                   "marks <!-- bench:SECTION:begin --> and <!-- bench:SECTION:end -->, or to its end")
    p.add_argument("sections", nargs="*", metavar="SECTION", help=f"of: {' '.join(SECTIONS)}; default: all")
    a = p.parse_args()
    unknown = set(a.sections) - set(SECTIONS)
    if unknown:
        p.error(f"no section {' '.join(sorted(unknown))}; there are: {' '.join(SECTIONS)}")
    a.dir = pathlib.Path(a.dir).resolve()
    data = measure_servers.place_servers(a.dir)
    begin = time.monotonic()
    head = heading(a.herald, machine(data), busy_share())
    sink = Nginx(a.nginx, a.dir)
    failed = []
    try:
        for name in a.sections or SECTIONS:
            say(f"== {name}")
            try:
                text = table(head, SECTIONS[name](a, sink))
            except Exception:  # the others are worth having all the same
                traceback.print_exc()
                failed.append(name)
                continue
            print(f"{text}\n", flush=True)
            if a.out:
                write_section(a.out, name, text)
    finally:
        sink.stop()
    say(f"{time.monotonic() - begin:.0f} s")
    return f"not measured: {' '.join(failed)}" if failed else 0


sys.exit(main())
