"""What the scripts download: only what is not there, again when that fails for a moment, and with a word about what
failed. The programs that would do it are stand-ins here."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Machine:
    """A tree with scripts/lib.sh, and programs that write down how they are called."""

    def __init__(self, folder):
        self.tree, self.bin, self.calls = folder / "tree", folder / "bin", folder / "calls"
        for file in ("scripts/lib.sh", "tools/free_port.py"):
            (self.tree / file).parent.mkdir(parents=True)
            shutil.copy(ROOT / file, self.tree / file)
        self.bin.mkdir()
        self.calls.touch()
        self.program("sleep")
        # Files of the machine itself stay as they are: what it would do as root is apt-get alone.
        self.program("id", "echo 1000")
        self.program("sudo", 'case $1 in env) exec "$@" ;; esac')

    def program(self, name, body="", fails=0):
        """fails: so many times, before it does what it shall."""
        (self.bin / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n'
            f'[ "$(grep -c "^{name} " {self.calls})" -gt {fails} ] || {{ echo "{name}: no route to host" >&2; exit 1; }}\n'
            f"{body}\n")
        (self.bin / name).chmod(0o755)

    def run(self, code):
        script = self.tree / "scripts" / "script"
        script.write_text(f'set -eu\n. "$(dirname -- "$0")/lib.sh"\n{code}\n')
        return subprocess.run(["/bin/sh", script], capture_output=True, text=True, timeout=120,
                              env={"PATH": f"{self.bin}:/usr/bin:/bin"})

    def called(self, name):
        return re.findall(rf"^{name} (.*)$", self.calls.read_text(), re.M)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def actions(machine):
    return [re.search(r"\b(update|install|download)\b", line)[1] for line in machine.called("apt-get")]


def test_packages_that_are_there_cost_nothing(machine):
    machine.program("dpkg-query", "echo installed")
    machine.program("apt-get")
    done = machine.run("need_packages one two")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.called("apt-get")


def test_those_that_are_missing_are_installed(machine):
    machine.program("dpkg-query", '[ "$4" = there ] && echo installed || exit 1')
    machine.program("apt-get")
    done = machine.run("need_packages missing there; need_packages other")
    assert done.returncode == 0, done.stderr
    assert actions(machine) == ["update", "install", "install"], "the lists are fetched once"
    assert machine.called("apt-get")[1].endswith("install -y --no-install-recommends missing")


def test_an_archive_that_is_away_for_a_moment(machine):
    machine.program("dpkg-query", "exit 1")
    machine.program("apt-get", fails=2)
    done = machine.run("need_packages one")
    assert done.returncode == 0, done.stderr
    assert actions(machine) == ["update", "install", "update", "install"]
    assert machine.called("sleep") == ["5"]
    assert re.search("installing one +failed; once more in 5 s", done.stderr)


def test_lists_that_cannot_be_fetched_may_not_be_needed(machine):
    machine.program("dpkg-query", "exit 1")
    machine.program("apt-get", 'case " $* " in *" update "*) exit 100 ;; esac')
    done = machine.run("need_packages one")
    assert done.returncode == 0, done.stderr
    assert not machine.called("sleep")


def test_an_archive_that_stays_away(machine):
    machine.program("dpkg-query", "exit 1")
    machine.program("apt-get", fails=100)
    done = machine.run("need_packages one; echo on it goes")
    assert done.returncode == 1 and "on it goes" not in done.stdout
    assert machine.called("sleep") == ["5", "20"]
    assert "could not install: one" in done.stderr


def test_a_tool_is_fetched_once(machine):
    machine.program("apt-get", "case \" $* \" in *' download '*) : >package_1.deb ;; esac", fails=3)
    machine.program("dpkg-deb", 'mkdir -p "$3/usr/bin" && echo >"$3/usr/bin/the-tool" && chmod 755 "$3/usr/bin/the-tool"')
    for _ in range(2):
        done = machine.run("need_tool the-tool package")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{machine.tree}/build/tools/usr/bin/the-tool\n"
    assert actions(machine) == ["update", "download", "update", "download"]
    assert os.listdir(machine.tree / "build" / "tools") == ["usr"]


def test_a_tool_that_is_half_there_is_not_used(machine):
    machine.program("apt-get", "case \" $* \" in *' download '*) : >package_1.deb ;; esac")
    machine.program("dpkg-deb", 'mkdir -p "$3/usr/bin" && echo >"$3/usr/bin/the-tool" && chmod 755 "$3/usr/bin/the-tool"; exit 1')
    done = machine.run("need_tool the-tool package || echo none")
    assert done.stdout == "none\n" and "fetching the package package failed three times" in done.stderr


def test_npm_asks_anew_for_what_it_did_not_get(machine):
    machine.program("npm", fails=1)
    folder = machine.tree / "modules"
    folder.mkdir()
    done = machine.run(f"npm_ci {folder}")
    assert done.returncode == 0, done.stderr
    first, second = machine.called("npm")
    assert "--prefer-offline" in first and "--prefer-online" in second
    assert f"npm ci in {folder} failed; once more in 5 s" in done.stderr


def test_ports_are_free_and_not_those_of_outgoing_connections(machine):
    done = machine.run("free_port; free_port")
    ports = list(map(int, done.stdout.split()))
    assert len(ports) == 2 and all(12000 <= p < 32000 for p in ports), done.stderr
