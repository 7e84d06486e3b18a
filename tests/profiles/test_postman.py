"""The Postman collections of docs/postman: they are those that the route tables make, and newman runs them."""
import json
import os
import pathlib
import re
import subprocess

import pytest

import herald as h

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "postman"
TOOLS = ROOT / "tools" / "postman"
NAMES = sorted(f.name.split(".")[0] for f in FOLDER.glob("*.json"))
NEWMAN = pathlib.Path(os.environ.get("HERALD_NEWMAN", ROOT / "build/postman/node_modules/.bin/newman"))


def test_there_is_one_for_each_profile():
    profiles = re.findall(r"^PROFILE\((\w+)\)", (ROOT / "src/profile/profiles.def").read_text(), re.M)
    assert NAMES == sorted(["herald", *(p.replace("_", "-") for p in profiles)])


def test_they_are_those_of_the_route_tables(tmp_path):
    subprocess.run([TOOLS / "collections", h.BIN, tmp_path], check=True)
    for name in NAMES:
        file = f"{name}.postman_collection.json"
        assert (FOLDER / file).read_text() == (tmp_path / file).read_text(), \
            f"docs/postman/{file} is out of date: tools/postman/collections build/herald docs/postman"


@pytest.fixture
def newman():
    assert NEWMAN.exists(), f"no {NEWMAN}; scripts/test installs it"

    def run(name, herald, more=()):
        report = herald.dir / "newman.json"
        done = subprocess.run(
            [NEWMAN, "run", FOLDER / f"{name}.postman_collection.json", "--reporters", "cli,json", "--color", "off",
             "--reporter-json-export", report, "--timeout-request", "20000",
             "--env-var", f"baseUrl={herald.url}", "--env-var", f"messagesKey={h.MESSAGES_KEY}",
             "--env-var", f"schedulerKey={h.SCHEDULER_KEY}", *more],
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(report.read_text())["run"]["stats"]
    return run


@pytest.mark.parametrize("name", NAMES)
def test_newman(name, newman, tmp_path):
    sink = h.Sink()
    second = h.free_port()
    profile = {} if name == "herald" else {"HERALD_PROFILE": name, "SERVER_SECOND_PORT": second}
    herald = h.Herald(tmp_path, WEBHOOK_URL=sink.url, SEED_DATA="true", WEBHOOK_SUCCESS="200-299", **profile)
    try:
        herald.start()
        stats = newman(name, herald, ["--env-var", f"secondUrl=http://127.0.0.1:{second}"])
        assert stats["requests"]["failed"] == 0 and stats["assertions"]["failed"] == 0
        # Each request has its assertions.
        assert stats["assertions"]["total"] >= 2 * stats["requests"]["total"] > 0
        herald.stop()
    finally:
        herald.cleanup()
        sink.close()
