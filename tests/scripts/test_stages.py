"""scripts/test itself: what it says of stages that do well, fail, end without a word, or are interrupted."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def listen():
    """What runs in the background or under nohup has some of them ignored."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def tree(tmp_path):
    """tree(STAGES, NAME=BODY...): a tree whose scripts/test has these stages: started, with its output in a pipe."""
    started = []

    def make(stages, **bodies):
        for folder in ("scripts", "tools", "build/test-logs"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for file in ("scripts/lib.sh", "tools/tally"):
            shutil.copy(ROOT / file, tmp_path / file)
        text = (ROOT / "scripts" / "test").read_text()
        text = re.sub('^all_stages=.*', f'all_stages="{stages}"', text, flags=re.M)
        mine = "".join(f"stage_{name}() {{\n{body}\n}}\n" for name, body in bodies.items())
        head, mark, tail = text.partition("# --- running them")
        (tmp_path / "scripts" / "test").write_text(head + mine + mark + tail)
        (tmp_path / "scripts" / "test").chmod(0o755)
        env = {k: v for k, v in os.environ.items() if k not in ("CI", "LONG", "TALLY")}
        started.append(subprocess.Popen(
            [tmp_path / "scripts" / "test"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, preexec_fn=listen))
        return started[-1]
    yield make
    for one in started:
        if one.poll() is None:
            os.killpg(one.pid, signal.SIGTERM)
        one.communicate()


def lines(process):
    return process.communicate(timeout=120)[0].splitlines()


def test_stages_side_by_side_and_one_after_the_other(tree):
    # Each of the first two waits for the other, and the third comes when both have ended.
    one = tree("unit+lint build",
               unit='say "3 0 0" >>"$TALLY"; : >"$root/unit"; until [ -e "$root/lint" ]; do sleep 0.1; done',
               lint='say "1 0 2" >>"$TALLY"; : >"$root/lint"; until [ -e "$root/unit" ]; do sleep 0.1; done\n'
                    'say "SKIPPED two things"; sleep 0.5; : >"$root/ended"',
               build='[ -e "$root/ended" ]')
    said = lines(one)
    assert one.returncode == 0, said
    assert [line.split()[:3] for line in said if line.startswith("ok")] == [
        ["ok", "unit", "3"], ["ok", "lint", "1"], ["ok", "build", "1"]]
    assert said[-1] == "5 passed, 0 failed, 2 skipped"
    assert "        SKIPPED two things" in said


def test_a_stage_that_fails_does_not_keep_the_next_from_running(tree):
    one = tree("unit lint", unit='say "FAILED this one"; say "2 1 0" >>"$TALLY"; return 1', lint=":")
    said = lines(one)
    assert one.returncode == 1
    assert said[0].startswith("FAILED  unit") and "        FAILED this one" in said
    assert said[-1] == "3 passed, 1 failed, 0 skipped"


def test_results_of_an_earlier_run_are_not_counted(tree):
    one = tree("unit", unit='echo "<testsuites><testcase name=\\"old\\"/></testsuites>" >"$logs/new.xml"\n'
                            'python /bin/true new --no-such-option')
    said = lines(one)
    assert one.returncode == 1
    assert said[-1] == "0 passed, 1 failed, 0 skipped", said


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_interrupted_ends(tree, tmp_path, number):
    # What it has started may have a process group of its own, as timeout gives it.
    one = tree("unit+lint", **{name: f'timeout 1000 sh -c "echo \\$\\$ >{tmp_path}/{name}; exec sleep 1000"'
                               for name in ("unit", "lint")})
    files = [tmp_path / "unit", tmp_path / "lint"]
    end = time.monotonic() + 60
    while not all(f.exists() and f.read_text().endswith("\n") for f in files):
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(one.pid, number)
    assert one.wait(60) == 130
    for file in files:
        while pathlib.Path(f"/proc/{int(file.read_text())}").exists():
            assert time.monotonic() < end + 60, "it goes on"
            time.sleep(0.05)
