#!/usr/bin/env python
"""Says what a daemon would make of blob annotations: one in hexadecimal a line on stdin, one answer a line on stdout.

The first line of the output is the version of Python, "3.11". Answers, with spaces between their fields:

    error MESSAGE                       marshal.loads fails
    other                               it gives something else than (info, text, text)
    call OBJECT METHOD INFO FIELD...    names in hexadecimal; then the info and what the paths of PATHS lead to

INFO and FIELD are t and a string in hexadecimal, n and an int, f and the repr of a float that is not whole, or - for anything
else. Runs on Python 2.7 and on 3.4 or later.
"""
import binascii
import marshal
import resource
import sys

PY2 = sys.version_info[0] == 2
TEXT = (str, unicode) if PY2 else (str, bytes)  # noqa: F821
INT = (int, long) if PY2 else (int,)  # noqa: F821
PATHS = [("a",), (0,), (-1,), ("a", 0), (0, "a"), (1, -1)]


def raw(s):
    if isinstance(s, bytes):
        return s
    return s.encode("utf-8") if PY2 else s.encode("utf-8", "surrogatepass")


def hexed(s):
    return binascii.hexlify(raw(s)).decode()


def scalar(v):
    if isinstance(v, TEXT):
        return "t" + hexed(v)
    if isinstance(v, complex) and v.imag == 0:
        v = v.real
    if isinstance(v, float) and v == v:
        if v in (float("inf"), -float("inf")) or v != int(v):
            return "f" + repr(v)
        v = int(v)
    if isinstance(v, INT):
        return "n%x" % v if v >= 0 else "n-%x" % -v
    return "-"


def same(key, step):
    if isinstance(step, str):
        return isinstance(key, TEXT) and raw(key) == raw(step)
    return isinstance(key, INT + (float, complex)) and key == step


def follow(v, path):
    for step in path:
        if isinstance(v, (tuple, list)) and not isinstance(step, str):
            if not -len(v) <= step < len(v):
                return "-"
            v = v[step]
        elif isinstance(v, dict):
            found = [k for k in v if same(k, step)]
            if len(found) > 1:
                return "?"  # bytes and str: to Python 3 these are two
            if not found:
                return "-"
            v = v[found[0]]
        else:
            return "-"
    return scalar(v)


def answer(data):
    try:
        value = marshal.loads(data)
    except Exception as e:
        return "error " + " ".join(("%s: %s" % (type(e).__name__, e)).split())
    if type(value) is not tuple or len(value) != 3 or not isinstance(value[1], TEXT) or not isinstance(value[2], TEXT):
        return "other"
    info, name, method = value
    fields = ["call", hexed(name) or ".", hexed(method) or ".", scalar(info)]
    return " ".join(fields + [follow(info, p) for p in PATHS])


if __name__ == "__main__":
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))  # lengths that lie are to fail at once
    print("%d.%d" % sys.version_info[:2])
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        print(answer(binascii.unhexlify(line.strip().encode())))
        sys.stdout.flush()
