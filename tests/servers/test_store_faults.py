"""Three nodes on one database whose server is killed, frozen, restarted, and whose connections are cut."""
import os
import pathlib
import subprocess
import time

import pytest

import servers

BINARY = pathlib.Path(os.environ.get("HERALD_BIN", servers.ROOT / "build/src/herald"))
HAMMER = BINARY.resolve().parent.parent / "tests/contract/store_hammer"
LONG = bool(os.environ.get("LONG"))  # scripts/test --long
SECONDS = 10 if LONG else 3


def kill(server):
    server.kill()
    time.sleep(0.3)
    server.start()


def restart(server):
    server.restart()


def freeze(server):
    """Beyond the lease."""
    server.freeze()
    time.sleep(5)
    server.thaw()


def cut(server):
    server.cut_connections()


@pytest.mark.parametrize("interval", [0, 50], ids=["continuous", "beats"])
@pytest.mark.parametrize("hurt", [kill, restart, freeze, cut] if LONG else [kill, cut])
@pytest.mark.parametrize("kind", [servers.Postgres, servers.MariaDB], ids=["postgres", "mysql"])
def test_nothing_is_lost_or_doubled(kind, hurt, interval):
    if not HAMMER.exists():
        pytest.skip(f"no {HAMMER}")
    try:
        server = kind()
    except servers.Unavailable as e:
        pytest.skip(str(e))
    with server, subprocess.Popen([HAMMER, server.url, "3", str(interval)], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as hammer:
        try:
            assert hammer.stdout.readline() == "ready\n"
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                time.sleep(0.7)
                hurt(server)
            out, _ = hammer.communicate(timeout=200)
            assert hammer.returncode == 0, out
            assert "wrong=0" in out
        finally:
            hammer.kill()
