"""The servers that other tests stand on: a crash keeps what was committed, an end leaves nothing behind."""
import os
import pathlib
import subprocess
import sys

import pytest

import servers

CLI = pathlib.Path(servers.__file__).with_name("with_server.py")


@pytest.mark.parametrize("kind", [servers.Postgres, servers.MariaDB])
def test_a_killed_server_recovers_what_was_committed(kind):
    with kind() as server:
        server.sql("CREATE TABLE t(a int)")
        for n in range(3):
            server.sql(f"INSERT INTO t VALUES({n})")
            pid, family = server.process.pid, servers.children(server.process.pid)
            server.kill()
            assert all(servers.gone(p) for p in (pid, *family))
            server.start()
            assert server.sql("SELECT count(*) FROM t") == str(n + 1)
        pid = server.process.pid
    assert servers.gone(pid)
    assert not server.dir.exists()


def test_a_server_that_cannot_start_says_why():
    with pytest.raises(RuntimeError, match="no_such_setting"):
        servers.Postgres(options=["no_such_setting=1"])


def run(*argv, **env):
    return subprocess.run([sys.executable, str(CLI), *argv], env={**os.environ, **env},
                          capture_output=True, text=True)


def test_the_command_gets_the_url_and_its_exit_code_is_ours():
    env = {"HERALD_TEST_POSTGRES_URL": ""}
    done = run("postgres", "--", "sh", "-c", "echo $HERALD_TEST_POSTGRES_URL; exit 5", **env)
    assert done.returncode == 5
    assert done.stdout.startswith("postgresql://herald:")


def test_a_given_url_is_used_as_it_is():
    done = run("mysql", "--", "sh", "-c", "echo $HERALD_TEST_MYSQL_URL", HERALD_TEST_MYSQL_URL="mysql://x/y")
    assert (done.returncode, done.stdout) == (0, "mysql://x/y\n")


@pytest.mark.parametrize("argv", [("postgres",), ("--", "true"), ("oracle", "--", "true")])
def test_wrong_usage(argv):
    assert run(*argv).returncode == 2
