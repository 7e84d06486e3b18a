import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "integration"))

import pytest

import herald as h


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="ten times as many crashes")


@pytest.fixture
def kills(request):
    return 250 if request.config.getoption("--long") else 25


@pytest.fixture
def herald(tmp_path):
    made = []

    def make(**env):
        made.append(h.Herald(tmp_path, **env))
        return made[-1].start()

    yield make
    for one in made:
        one.cleanup()


@pytest.fixture
def sink():
    made = []

    def make(answer=None, **options):
        made.append(h.Sink(answer, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
