"""Results as tables, and the document that they are put into."""
import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

from rig import say


class Result:
    def __init__(self, name, unit, values, target=None, at_most=False, digits=0):
        self.name, self.unit, self.values, self.target, self.at_most, self.digits = name, unit, values, target, at_most, digits
        say(f"  {name}: {self.show(self.median)} {unit}")

    @property
    def median(self):
        return statistics.median(self.values)

    def show(self, v):
        return f"{v:,.{self.digits}f}"

    def row(self):
        target, met = "", ""
        if self.target is not None:
            target = f"{'≤' if self.at_most else '≥'} {self.show(self.target)}"
            met = "yes" if (self.median <= self.target if self.at_most else self.median >= self.target) else "**no**"
        return (f"| {self.name} | {self.show(self.median)} {self.unit} | {self.show(min(self.values))} – "
                f"{self.show(max(self.values))} | {len(self.values)} | {target} | {met} |")


def machine(directory):
    cpu = next((x.split(":")[1].strip() for x in open("/proc/cpuinfo", encoding="utf-8") if x.startswith("model name")), "?")
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo", encoding="ascii").read())[1]) / 1048576
    fs = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True).stdout.strip()
    gcc = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    debian = pathlib.Path("/etc/debian_version").read_text().strip() if os.path.exists("/etc/debian_version") else "?"
    begin = time.perf_counter()
    with open(directory / "fsync", "wb", buffering=0) as f:
        for _ in range(200):
            f.write(b"x" * 4096)
            os.fdatasync(f.fileno())
    (directory / "fsync").unlink()
    sync = (time.perf_counter() - begin) / 200 * 1e6
    return (f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, Debian {debian}, Linux {platform.release()}, "
            f"{fs} (4 KiB write + fdatasync: {sync:.0f} µs), gcc {gcc}, -O3 with link-time optimisation")


def busy_share(seconds=2):
    """How much of the processors others use right now, 0 to 1."""
    def read():
        fields = list(map(int, pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
        return sum(fields), fields[3] + fields[4]
    before = read()
    time.sleep(seconds)
    after = read()
    return 1 - (after[1] - before[1]) / max(after[0] - before[0], 1)


def heading(herald, about, busy):
    """One line on what was measured where. busy: as busy_share()."""
    version = subprocess.run([herald, "version"], capture_output=True, text=True, check=True).stdout.strip()
    note = f" Others used {busy:.0%} of the processors when it began, so all rates are too low." if busy > 0.05 else ""
    return (f"{version}, {datetime.date.today().isoformat()}. {about}. Receiver, database and cache on the same "
            f"machine.{note}")


def table(head, results):
    return "\n".join([head, "",
                      "| what | median | lowest – highest | runs | target | met |",
                      "|---|---|---|---|---|---|",
                      *(r.row() for r in results)])


def write_section(path, name, text):
    """Puts the text between the document's marks of that name, or at its end."""
    begin, end = f"<!-- bench:{name}:begin -->\n", f"<!-- bench:{name}:end -->\n"
    document = path.read_text(encoding="utf-8") if path.exists() else ""
    head, found, rest = document.partition(begin)
    if not found:
        head = document + ("\n" if document else "")
    tail = rest.partition(end)[2] if found else ""
    path.write_text(f"{head}{begin}{text}\n{end}{tail}", encoding="utf-8")
