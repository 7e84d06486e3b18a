"""Whether herald would start with an environment that a deployment gives it."""
import json
import re
import subprocess


def check_settings(herald, env, report):
    """env: its environment, nothing else. Reports what is wrong; answers how many seconds an orderly stop may
    take with it."""
    env = {k: str(v) for k, v in env.items()}
    done = subprocess.run([herald, "config", "check"], env=env, cwd="/", capture_output=True, text=True)
    if done.returncode != 0:
        report(done.stderr.strip())
        return 0
    # A variable that nobody reads is a misspelt one.
    printed = json.loads(subprocess.run([herald, "config", "print", "--json"], env=env, cwd="/", check=True,
                                        capture_output=True, text=True).stdout)
    origins = " ".join(option["origin"] for option in printed.values())
    for name, value in env.items():
        if value and name not in printed and f"env {name}" not in origins:
            report(f"herald knows no variable {name}")
    return seconds(printed)


def seconds(printed):
    """SHUTDOWN_TIMEOUT as `config print` shows it: "1m10s"."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    parts = re.findall(r"(\d+)([a-z]+)", printed["SHUTDOWN_TIMEOUT"]["value"])
    return sum(int(number) * units[unit] for number, unit in parts)
