#!/usr/bin/env python3
"""with_server.py NAME[,NAME...] [--durable] [--clock] -- COMMAND...

Starts private database servers (postgres, mysql, mongodb), runs COMMAND with HERALD_TEST_POSTGRES_URL,
HERALD_TEST_MYSQL_URL and HERALD_TEST_MONGODB_URL set, stops them again. A variable that is set already is
left alone, and nothing is started for it. --clock: MariaDB gets a clock that COMMAND can turn, through the
file that HERALD_TEST_MYSQL_CLOCK names, if libfaketime is installed. Ends as COMMAND does; 77, which test
runners take for "skipped", when a server cannot be had here. See servers.py.
"""
import contextlib
import os
import signal
import subprocess
import sys

import servers

SKIPPED = 77
FLAGS = ("--durable", "--clock")


def main(argv):
    if "--" not in argv or not argv[argv.index("--") + 1:]:
        print(__doc__, file=sys.stderr)
        return 2
    split = argv.index("--")
    words, command = argv[:split], argv[split + 1:]
    durable = "--durable" in words
    names = [n for w in words if w not in FLAGS for n in w.split(",")]
    unknown = [n for n in names if n not in servers.SERVERS]
    if unknown or not names:
        print(f"with_server.py: {unknown or 'nothing'}: choose from {list(servers.SERVERS)}",
              file=sys.stderr)
        return 2

    # So that being told to stop leaves the blocks below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    env = dict(os.environ)
    with contextlib.ExitStack() as stack:
        for name in names:
            kind = servers.SERVERS[name]
            if env.get(kind.variable):
                continue
            try:
                options = {"clock": True} if "--clock" in words and name == "mysql" else {}
                env.update(stack.enter_context(kind(durable=durable, **options)).env)
            except servers.Unavailable as e:
                print(f"SKIPPED {name}: {e}", file=sys.stderr)
                return SKIPPED
        with subprocess.Popen(command, env=env) as process:
            try:
                code = process.wait()
            except BaseException:
                process.terminate()
                raise
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
