"""Private database servers for tests: PostgreSQL, MariaDB and FerretDB (a MongoDB-compatible server).

    with servers.Postgres() as pg:
        run(["meson", "test"], env={**os.environ, **pg.env})
        pg.kill()       # SIGKILL to the server and its children: what a crash leaves behind
        pg.start()      # again on the same port and data; recovers first

Each has its own data folder in a temporary directory and listens on the loopback alone, at a port that was
free. It is stopped by its process id when the block is left, and dies with the thread that started it; the
folder is removed. Started by root it runs as `nobody`, since database servers refuse to be root. Packaged
services and clusters are neither used nor touched.

durable=False (the default) turns fsync off: what a killed *process* has written is safe with the kernel, so
a crash test sees the same recovery as with fsync, in a fraction of the time. Benchmarks want durable=True,
which pays for each commit as production does.

Where a variable HERALD_TEST_…_URL is set already, with_server.py starts nothing for it: so the tests can be
run against another server, e.g. a MySQL 8 or a real mongod. That server cannot be killed, of course.
"""
import contextlib
import ctypes
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from free_port import free_port  # noqa: E402

START_TIMEOUT = 60.0
USER, PASSWORD, DATABASE = "herald", "herald-test", "herald"


class Unavailable(Exception):
    """The server is not installed, or cannot be built, here."""


def find_program(name, *places):
    for place in (*places, *os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/go/bin"):
        for path in sorted(glob.glob(os.path.join(place, name)), reverse=True):
            if os.access(path, os.X_OK):
                return path
    raise Unavailable(f"no program {name}")


def children(pid):
    try:
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Server:
    """What the servers have in common. They fill in prepare(), command(), ready() and `env`."""

    name = ""
    stop_signal = signal.SIGTERM  # orderly
    drop_signal = signal.SIGTERM  # quickly: the data is thrown away afterwards
    variable = ""                 # what tells the tests where the server is

    def __init__(self, *, durable=False, port=None, options=()):
        self.durable, self.options = durable, list(options)
        self.port = port or free_port()
        self.process = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"herald-{self.name}-"))
        self.log = self.dir / "log"
        self.account = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.dir, nobody.pw_uid, nobody.pw_gid)
        try:
            self.prepare()
            self.start()
            self.after_first_start()
        except BaseException:
            self.close()
            raise

    @property
    def env(self):
        """What the tests need to know, as environment variables."""
        return {self.variable: self.url}

    def run(self, *command, **more):
        """Runs a helper of the server as its user; what it says is in the log."""
        with self.log.open("ab") as log:
            done = subprocess.run([str(c) for c in command], stdout=log, stderr=log, cwd=self.dir,
                                  env=self.environment(), **self.account, **more)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{self.log_end()}")

    def environment(self):
        # A MariaDB that starts removes the temporary tables of all others in the same TMPDIR.
        return {"PATH": os.environ["PATH"], "HOME": str(self.dir), "TMPDIR": str(self.dir),
                "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def start(self, timeout=START_TIMEOUT):
        """Starts the server and waits until it takes connections."""
        assert self.process is None, "it runs"
        end = time.monotonic() + timeout
        while True:
            self.spawn()
            while time.monotonic() < end and self.process.poll() is None:
                if self.ready():
                    return
                time.sleep(0.02)
            if self.process.poll() is None:
                self.kill()
                raise RuntimeError(f"{self.name} did not start in {timeout:g} s:\n{self.log_end()}")
            self.process = None
            if time.monotonic() > end or not self.try_again():
                raise RuntimeError(f"{self.name} ended at its start:\n{self.log_end()}")
            time.sleep(0.1)

    def spawn(self):
        die_with_us = self.drop_signal
        prctl = ctypes.CDLL(None).prctl  # looked up here: after the fork another thread's lock may be held for ever
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the tests must not reach the server before they are done.
            self.process = subprocess.Popen(
                [str(c) for c in self.command()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.dir, env=self.environment(), start_new_session=True, **self.account,
                preexec_fn=lambda: prctl(1, die_with_us))  # PR_SET_PDEATHSIG

    def try_again(self):
        """Whether a start that failed is worth repeating."""
        return False

    def stop(self):
        """Shuts down in order."""
        self.end(self.stop_signal)

    def end(self, sig, patience=30):
        if self.process is None:
            return
        self.process.send_signal(sig)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self):
        """SIGKILL to the server and to every process it has started; returns when all are gone."""
        if self.process is None:
            return
        # Stopped first, so that it starts no child in between.
        self.process.send_signal(signal.SIGSTOP)
        family = children(self.process.pid)
        self.process.kill()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        while any(not gone(pid) for pid in family):
            time.sleep(0.005)

    def restart(self):
        self.stop()
        self.start()

    def freeze(self):
        """Stops the clock of the server and its children, as a hanging machine would."""
        for pid in (self.process.pid, *children(self.process.pid)):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in (self.process.pid, *children(self.process.pid)):
            os.kill(pid, signal.SIGCONT)

    def close(self):
        """Ends the server and removes its data. May be called more than once."""
        self.end(self.drop_signal, patience=10)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_end(self, lines=30):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def prepare(self):
        pass

    def after_first_start(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Postgres(Server):
    name = "postgres"
    variable = "HERALD_TEST_POSTGRES_URL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then a checkpoint
    drop_signal = signal.SIGQUIT

    def __init__(self, **options):
        self.bin = pathlib.Path(find_program("postgres", "/usr/lib/postgresql/*/bin")).parent
        super().__init__(**options)

    @property
    def url(self):
        return self.url_of(DATABASE)

    def url_of(self, database):
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @property
    def data(self):
        return self.dir / "data"

    def prepare(self):
        secret = self.dir / "password"
        secret.write_text(PASSWORD + "\n")
        os.chmod(secret, 0o644)  # in a directory that only the server's user can enter
        self.run(self.bin / "initdb", "-D", self.data, "-U", USER, f"--pwfile={secret}",
                 "--auth=scram-sha-256", "--no-sync", "--no-instructions", "-E", "UTF8",
                 "--locale=C.UTF-8")

    def command(self):
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
            "max_connections": 200,
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "log_line_prefix": "%m [%p] %a ",
            "log_checkpoints": "off",
        }
        args = [arg for k, v in settings.items() for arg in ("-c", f"{k}={v}")]
        args += [arg for o in self.options for arg in ("-c", o)]
        return [self.bin / "postgres", "-D", self.data, *args]

    def ready(self):
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def try_again(self):
        # The children of a killed server give its shared memory back a moment later.
        return "shared memory block" in self.log_end(8)

    def after_first_start(self):
        self.sql(f"CREATE DATABASE {DATABASE}", "postgres")

    def sql(self, text, database=DATABASE):
        """What psql prints, one line per row, columns separated by '|'."""
        return subprocess.run([str(self.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text,
                               self.url_of(database)], check=True, capture_output=True,
                              text=True).stdout.rstrip("\n")

    def cut_connections(self):
        """pg_terminate_backend() for each of herald's connections; returns how many."""
        return int(self.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                            " WHERE pid<>pg_backend_pid() AND application_name LIKE 'herald%'"))


class MariaDB(Server):
    name = "mysql"
    variable = "HERALD_TEST_MYSQL_URL"

    FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"

    def __init__(self, *, clock=False, **options):
        """clock: the server's clock is what its file `clock` says, where libfaketime is installed."""
        self.bin = find_program("mariadbd")
        self.install = find_program("mariadb-install-db")
        self.faketime = next(iter(glob.glob(self.FAKETIME)), None) if clock else None
        super().__init__(**options)

    @property
    def env(self):
        clock = {"HERALD_TEST_MYSQL_CLOCK": str(self.dir / "clock")} if self.faketime else {}
        return {**super().env, **clock}

    def environment(self):
        more = {}
        if self.faketime and (self.dir / "clock").exists():
            more = {"LD_PRELOAD": self.faketime, "FAKETIME_TIMESTAMP_FILE": str(self.dir / "clock"),
                    "FAKETIME_FMT": "%s", "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return {**super().environment(), **more}

    @property
    def url(self):
        return f"mysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def data(self):
        return self.dir / "data"

    def sync(self):
        return [] if self.durable else ["--innodb-flush-method=nosync", "--sync-frm=0"]

    def prepare(self):
        self.run(self.install, "--no-defaults", "--auth-root-authentication-method=normal",
                 f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve", *self.sync())
        if self.faketime:
            # It must run at first, since the server measures its speed when it starts.
            (self.dir / "clock").write_text("+0\n")
        # Run at every start, before connections are taken.
        (self.dir / "init.sql").write_text(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%';\n")

    def command(self):
        return [self.bin, "--no-defaults", f"--datadir={self.data}", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--socket={self.dir}/socket",
                f"--pid-file={self.dir}/pid", f"--init-file={self.dir}/init.sql",
                "--skip-name-resolve", "--max-connections=200", "--innodb-buffer-pool-size=256M",
                "--innodb-log-file-size=512M", "--innodb-flush-log-at-trx-commit=1", *self.sync(),
                *(f"--{o}" for o in self.options)]

    def ready(self):
        # The server speaks first.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                return len(s.recv(5)) == 5
        except OSError:
            return False

    def sql(self, text, database=DATABASE):
        """What the client prints, one line per row, columns separated by tabs."""
        client = find_program("mariadb")
        return subprocess.run([client, "--no-defaults", "-h127.0.0.1", f"-P{self.port}", f"-u{USER}",
                               f"-p{PASSWORD}", "-BN", "-e", text, database], check=True,
                              capture_output=True, text=True).stdout.rstrip("\n")

    def cut_connections(self):
        """KILL for every other connection of herald's user; returns how many."""
        ids = self.sql(f"SELECT id FROM information_schema.processlist WHERE user='{USER}'"
                       " AND id<>connection_id()").split()
        for one in ids:
            with contextlib.suppress(subprocess.CalledProcessError):  # it has gone by itself
                self.sql(f"KILL {one}")
        return len(ids)


class FerretDB(Server):
    """A MongoDB-compatible server that keeps its data in a PostgreSQL: kill() and start() act on FerretDB
    alone; `backend` is the other half."""

    name = "mongodb"
    variable = "HERALD_TEST_MONGODB_URL"
    unavailable = None  # why, once that is known

    def __init__(self, *, durable=False, backend=None, **options):
        self.bin = self.build()
        self.own_backend = None
        if backend is None:
            backend = self.own_backend = Postgres(durable=durable)
        self.backend = backend
        super().__init__(durable=durable, **options)

    @staticmethod
    def build():
        """Compiles it, which takes a minute or two, unless that has been done before."""
        source = pathlib.Path(__file__).resolve().parent / "ferretdb"
        cache = pathlib.Path(os.environ.get("HERALD_TEST_TOOLS", ROOT / "build/tools"))
        binary = cache / "herald-test-ferretdb"
        newest = max(p.stat().st_mtime for p in source.iterdir())
        if binary.exists() and binary.stat().st_mtime > newest:
            return binary
        if FerretDB.unavailable:
            raise Unavailable(FerretDB.unavailable)
        go = find_program("go")
        cache.mkdir(parents=True, exist_ok=True)
        made = cache / f"herald-test-ferretdb.{os.getpid()}"

        def run(*command):
            return subprocess.run([go, *command], cwd=source, capture_output=True, text=True,
                                  env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"})

        # The first command fetches what it is made of, unless it is there; a network can fail for a moment.
        tags = "-tags=ferretdb_no_sqlite"
        for pause in (5, 20, None):
            done = run("list", "-deps", tags, ".")
            if done.returncode == 0:
                done = run("build", "-trimpath", "-buildvcs=false", tags, "-o", made, ".")
            passing = re.search(r"dial tcp|lookup |connect|timeout|EOF|TLS|\b50[0-9] ", done.stderr)
            if not done.returncode or not passing or pause is None:
                break
            print(f"fetching FerretDB failed; once more in {pause} s: {done.stderr.strip()[-300:]}", file=sys.stderr)
            time.sleep(pause)
        if done.returncode:
            FerretDB.unavailable = f"FerretDB does not build here: {done.stderr.strip()[-2000:]}"
            raise Unavailable(FerretDB.unavailable)
        os.replace(made, binary)
        return binary

    @property
    def url(self):
        return f"mongodb://127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self):
        # A copy that its user can read, wherever the tree is.
        shutil.copy(self.bin, self.dir / "ferretdb")
        os.chmod(self.dir / "ferretdb", 0o755)
        self.backend.sql("CREATE DATABASE ferretdb", "postgres")

    def command(self):
        return [self.dir / "ferretdb", f"127.0.0.1:{self.port}", self.backend.url_of("ferretdb")]

    def ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def close(self):
        super().close()
        if self.own_backend:
            self.own_backend.close()


SERVERS = {"postgres": Postgres, "mysql": MariaDB, "mongodb": FerretDB}
