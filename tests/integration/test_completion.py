"""What the shells offer, asked of the shells themselves, and the manual pages, read by their formatters."""
import shutil
import subprocess

import pytest

import herald as h


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0 and done.stderr == "", (command, done.stderr)
    return done.stdout


def herald(*arguments):
    return output(h.BIN, *arguments)


@pytest.fixture
def script(tmp_path):
    def write(shell):
        assert shutil.which(shell), f"{shell} is not installed; scripts/test does that"
        path = tmp_path / f"herald.{shell}"
        path.write_text(herald("completion", shell))
        return path
    return write


def commands():
    return [line.split()[0] for line in herald("help").splitlines() if line.startswith("  ")]


def bash(script, *words):
    code = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _herald; '
            'printf "%s\\n" "${COMPREPLY[@]}"')
    return output("bash", "-c", code, "bash", script, *words).split()


def test_bash(script):
    s = script("bash")
    assert bash(s, "herald", "") == commands()
    assert bash(s, "herald", "im") == ["import"]
    assert bash(s, "herald", "import", "--sk") == ["--skip-bad"]
    assert bash(s, "herald", "serve", "--role", "") == ["all", "api", "worker"]
    assert bash(s, "herald", "serve", "--role", "w") == ["worker"]
    assert bash(s, "herald", "config", "pr") == ["print"]
    assert bash(s, "herald", "help", "repl") == ["replay"]
    # Where there is nothing to offer, the shell's own completion of file names goes to work.
    assert bash(s, "herald", "import", "") == []
    assert "--messages-api-key" not in bash(s, "herald", "serve", "--m")


def fish(script, line):
    offers = output("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'")
    return [offer.split("\t")[0] for offer in offers.splitlines()]


def test_fish(script):
    s = script("fish")
    assert set(commands()) <= set(fish(s, "herald "))
    assert fish(s, "herald config pr") == ["print"]
    assert "--skip-bad" in fish(s, "herald import --sk")
    assert set(fish(s, "herald serve --role ")) == {"all", "api", "worker"}


def test_zsh(script):
    """zsh completes only on a terminal: with zpty, it gets one."""
    s = script("zsh")
    shutil.copy(s, s.parent / "_herald")
    code = f"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z 'PS1=; unsetopt zle_bracketed_paste; fpath=({s.parent} $fpath); autoload -Uz compinit; compinit -u -D'
zpty -w z 'zstyle ":completion:*" list-colors; LISTMAX=10000; bindkey "^I" complete-word; print READY'
zpty -r z line '*READY*READY*'
zpty -n -w z $'herald imp\\t--sk\\t'
zpty -r z line '*--skip-bad*'
print found
zpty -d z
"""
    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, timeout=60)
    assert "found" in done.stdout, (done.stdout, done.stderr)


@pytest.mark.parametrize("page", ["herald", "herald.yaml"])
def test_manual(page):
    roff = herald("manual", page)
    plain = output("groff", "-man", "-Tutf8", "-ww", input=roff)
    assert "NAME" in plain.replace("\b", "").replace("NN", "N") or "N\bN" in plain
    bare = subprocess.run(["col", "-b"], input=plain, capture_output=True, text=True, timeout=60).stdout
    if page == "herald":
        for command in commands():
            assert f"herald {command}" in bare
    else:
        assert "MESSAGE_SEND_INTERVAL" in bare


def test_unknown_names_are_refused():
    for command, word in (("completion", "tcsh"), ("manual", "nginx")):
        done = subprocess.run([h.BIN, command, word], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and word in done.stderr and done.stdout == ""
