"""Databases that are clusters themselves: one of their servers dies, and herald goes on by itself."""
import contextlib
import os
import pathlib
import subprocess
import time

import pytest

from herald import BIN, eventually, reply

import cluster as c
import servers


class Standby(servers.Postgres):
    """A copy of a running Postgres, kept up to date by streaming replication."""

    def __init__(self, primary, **options):
        self.primary = primary
        super().__init__(**options)

    def prepare(self):
        self.run(self.bin / "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d",
                 self.primary.url_of("postgres"))

    def ready(self):
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() in ("ready", "standby")

    def after_first_start(self):
        pass

    def promote(self):
        assert self.sql("SELECT pg_promote()", "postgres") == "t"


def under_load(cl, s, fault):
    """Creates and deliveries before, during and after the fault."""
    load = c.Load(cl, threads=3)
    eventually(lambda: len(s.requests) > 100, 20, what="deliveries")
    with cl.fault():
        fault()
    at = time.monotonic()
    before, delivered = load.answers, len(s.requests)
    eventually(lambda: load.answers > before + 50, 60, what="creates after the failover")
    eventually(lambda: len(s.requests) > delivered + 50, 60, what="deliveries after the failover")
    print(f"back at work {time.monotonic() - at:.1f} s after the failover")
    load.stop()
    cl.drain()
    cl.stop()
    return load


@pytest.mark.only("postgres")
def test_postgres_standby_is_promoted(nodes, sink):
    """Synchronous replication: what was acknowledged is on the standby. The URL names both servers; herald
    asks for the one that takes writes by itself."""
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(servers.Postgres())
        standby = stack.enter_context(Standby(primary))
        database = c.database(primary, "failover")
        primary.sql("ALTER SYSTEM SET synchronous_standby_names='*'", "postgres")
        primary.sql("SELECT pg_reload_conf()", "postgres")
        eventually(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication", "postgres") == "sync")
        s = sink(lambda r: reply(delay=0.01))
        cl = nodes(3, database, WEBHOOK_URL=s.url, DATABASE_URL=(
            f"postgresql://{servers.USER}:{servers.PASSWORD}@127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
            f"/{database.name}"))

        def fail():
            primary.kill()
            time.sleep(1)
            standby.promote()
        load = under_load(cl, s, fail)
        database.server = standby
        c.check_ledger(cl, load, s, strict=False, doubles=False)


PROVIDER = "/usr/lib/galera/libgalera_smm.so"


class Galera(servers.MariaDB):
    """One server of a Galera cluster. All begin as a copy of one ordinary server and are told that they have
    the same state and were one group before, so that none has to fetch it (for which it would need more than is
    installed) and all have to start together: the constructor does not wait."""

    def __init__(self, seed, group, own):
        self.seed, self.group, self.own = seed, group, own
        super().__init__()

    def prepare(self):
        self.run("cp", "-r", self.seed.data, self.data)
        ids = [f"6e4a3a2c-1111-11f0-8000-{n:012x}" for n in range(1, len(self.group) + 1)]
        state = {
            "grastate.dat": f"# GALERA saved state\nversion: 2.1\nuuid:    {ids[0]}\nseqno:   0\n"
                            "safe_to_bootstrap: 0\n",
            "gvwstate.dat": f"my_uuid: {ids[self.group.index(self.own)]}\n#vwbeg\nview_id: 3 {ids[0]} 3\n"
                            "bootstrap: 0\n" + "".join(f"member: {i} 0\n" for i in ids) + "#vwend\n",
        }
        for name, text in state.items():
            (self.data / name).write_text(text)
            if self.account:
                os.chown(self.data / name, self.account["user"], self.account["group"])

    def command(self):
        return [*(o for o in super().command() if not str(o).startswith("--init-file")),
                "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", "--wsrep-cluster-name=herald",
                "--wsrep-cluster-address=gcomm://" + ",".join(f"127.0.0.1:{p}" for p in self.group),
                f"--wsrep-node-name=g{self.own}", f"--wsrep-node-address=127.0.0.1:{self.own}",
                "--wsrep-sst-method=skip", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
                f"--wsrep-provider-options=base_host=127.0.0.1;base_port={self.own};"
                f"gmcast.listen_addr=tcp://127.0.0.1:{self.own};ist.recv_addr=127.0.0.1:{servers.free_port()};"
                "gcache.size=32M;evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT1S;"
                "evs.inactive_timeout=PT3S;evs.inactive_check_period=PT0.3S"]

    def start(self):
        self.spawn()

    def in_group(self):
        assert self.process.poll() is None, self.log_end()
        status = self.asked("SHOW STATUS LIKE 'wsrep_%'")
        return "wsrep_ready\tON" in status and f"wsrep_cluster_size\t{len(self.group)}" in status

    def asked(self, text):
        """As sql(), of a server that may not answer yet, or hang."""
        client = servers.find_program("mariadb")
        with contextlib.suppress(subprocess.SubprocessError):
            return subprocess.run([client, "--no-defaults", "--connect-timeout=2", "-h127.0.0.1", f"-P{self.port}",
                                   f"-u{servers.USER}", f"-p{servers.PASSWORD}", "-BN", "-e", text], check=True,
                                  capture_output=True, text=True, timeout=4).stdout
        return ""


@contextlib.contextmanager
def galera(seed, n):
    """A group of that many servers. Where they miss each other at the start, they begin anew."""
    for attempt in range(3):
        with contextlib.ExitStack() as stack:
            group = [servers.free_port() for _ in range(n)]
            members = [stack.enter_context(Galera(seed, group, own)) for own in group]
            try:
                eventually(lambda: all(m.in_group() for m in members), 25, 0.2, "a group of servers")
            except AssertionError as e:
                print(f"attempt {attempt + 1}: {e}")
                continue
            for m in members:
                # A busy machine may keep one waiting for long, and who was thrown out cannot come back here.
                m.sql("SET GLOBAL wsrep_provider_options='evs.inactive_timeout=PT15S;evs.suspect_timeout=PT5S'", "mysql")
            yield members
            return
    raise AssertionError("the servers do not become a group")


@pytest.fixture(scope="module")
def members():
    """Three Galera servers, for all tests of them; the last one may kill one."""
    assert os.path.exists(PROVIDER), "no package galera-4"
    with contextlib.ExitStack() as stack:
        seed = stack.enter_context(servers.MariaDB())
        for name in ("failover", "hammer0", "hammer50"):
            seed.sql(f"CREATE DATABASE {name}")
        seed.stop()
        yield stack.enter_context(galera(seed, 3))


@pytest.mark.only("mysql")
@pytest.mark.parametrize("interval", [0, 50], ids=["continuous", "beats"])
def test_three_galera_servers_are_written_at(members, interval, long):
    """Each node works with another server, so that they take each other's transactions back."""
    urls = [f"mysql://{servers.USER}:{servers.PASSWORD}@127.0.0.1:{m.port}/hammer{interval}" for m in members]
    hammer = pathlib.Path(BIN).resolve().parent.parent / "tests/contract/store_hammer"
    with subprocess.Popen([hammer, " ".join(urls), "3", str(interval)], text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as run:
        try:
            assert run.stdout.readline() == "ready\n"
            time.sleep(20 if long else 4)
            out, _ = run.communicate(timeout=200)
            assert run.returncode == 0, out
            assert "wrong=0" in out
        finally:
            run.kill()


@pytest.mark.only("mysql")
def test_a_galera_server_is_killed(members, nodes, sink):
    """The URL names all three servers; two of the herald nodes work with the first one, which is killed, and
    one with the second."""
    database = c.MariaDatabase(members[2], "failover")
    s = sink(lambda r: reply(delay=0.01))
    cl = nodes(3, database, start=False, WEBHOOK_URL=s.url)
    for n, node in enumerate(cl.nodes):
        hosts = ",".join(f"127.0.0.1:{m.port}" for m in (members[n % 2:] + members[:n % 2]))
        node.env["DATABASE_URL"] = f"mysql://{servers.USER}:{servers.PASSWORD}@{hosts}/failover"
    cl.start()
    load = under_load(cl, s, members[0].kill)
    c.check_ledger(cl, load, s, strict=False, doubles=False)
