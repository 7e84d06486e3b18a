"""Turns schemas.json into the bytes of a C array: checked, and without the blanks that people need and
programs do not. Numbers, since a compiler need not take a string as long as this."""
import json
import sys

source, target = sys.argv[1:]
with open(source, encoding="utf-8") as f:
    data = json.dumps(json.load(f), separators=(",", ":")).encode("ascii")
with open(target, "w", encoding="ascii") as f:
    for i in range(0, len(data), 24):
        f.write(",".join(str(b) for b in data[i:i + 24]) + ",\n")
