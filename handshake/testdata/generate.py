#!/usr/bin/env python
"""Writes the golden corpora, corpus/<format>/<origin>.jsonl: CONNECT payloads as real Pyro and real Pythons make them.

    python generate.py [DIRECTORY]

Run it with every Python whose payloads are wanted, 2.7 and 3.6 or later. Each run writes the files of its own
version only: what the standard library makes (origin py27, py311, ...), and what Pyro4 and Pyro5 make where they can be imported
(pyro4-py311, ...; with serpent, msgpack, dill, cloudpickle and numpy as far as those can be). The committed ones come from
CPython 2.7.18 with Pyro4 4.82, serpent 1.28 and msgpack 1.0.5; from 3.11.7 with Pyro4 4.82, Pyro5 5.17, serpent 1.43, msgpack 1.2.4,
dill 0.4.1, cloudpickle 3.1.2 and numpy 2.4.6; and from bare 3.6.15, 3.8.18, 3.10.13, 3.12.1 and 3.13.0.

One line is one payload: {"name", "payload" in base64, "compressed", "id", or null where there is none to find}.
"""
from __future__ import print_function

import array
import base64
import collections
import datetime
import decimal
import io
import json
import marshal
import os
import pickle
import sys
import uuid
import zlib

PY2 = sys.version_info[0] == 2
VERSION = "py%d%d" % sys.version_info[:2]
if PY2:
    import cPickle

    text, bigint = unicode, long  # noqa: F821
else:
    text, bigint = str, int


def u(s):
    return s.decode("unicode-escape") if PY2 else s.encode("latin-1").decode("unicode-escape")


IDS = [
    "lab.camera-1",
    "Pyro.NameServer",
    "obj_6e5f3d7f6f0e4c11a5a0a8b6a3b6a6d8",
    u(r"caf\xe9 \u65e5\u672c\u8a9e"),
    u(r"\U0001f600 smile"),
    "it's \"quoted\"",
    "back\\slash\\n",
    u("tab\\tnewline\\nbell\\x07 del\\x7f"),
    u(r"\x85\xa0\u2028\ufeff"),
    "object",
    "",
    "{'object': 'no'}",
    "x" * 300,
]


class Plain(object):
    """An object of the user's own, which the dict serializers turn into a class dict."""

    def __init__(self):
        self.object = "inner"
        self.items = [1, {"object": "nested"}]


class Slots(object):
    __slots__ = ["object", "other"]

    def __init__(self):
        self.object = "inner"
        self.other = None


def loop():
    a = ["object"]
    a.append(a)
    d = {"object": "nested", "loop": a}
    d["self"] = d
    return d


def deep(n):
    v = "object"
    for i in range(n):
        v = [v] if i % 3 else {"object": v}
    return v


SHARED = ["shared", {"object": "nested"}]

# name, handshake object; a serializer that cannot have it leaves it out.
HANDSHAKES = [
    ("hello", "hello"),
    ("none", None),
    ("empty", ""),
    ("unicode", u(r"\xe9\u20ac\U0001f600'\"")),
    ("evil-single", "'object': 'x'"),
    ("evil-double", '", "object": "x'),
    ("evil-escapes", "\\', 'object': 'x', '\\"),
    ("evil-triple", "'''\"\"\"'object':'x'#"),
    ("evil-comment", "# 'object': 'x'\n, 'object': 'x'}"),
    ("evil-pickle", "\x8c\x06object\x8c\x01xs."),
    ("ints", [0, 1, -1, 255, 256, 65535, 65536, -32769, 2 ** 31, -2 ** 31 - 1, 2 ** 63, 2 ** 64, -10 ** 40, bigint(7)]),
    ("big", 12345 ** 40),
    ("floats", [0.0, -0.0, 1.5, 1e300, 1e-300, float("inf"), float("-inf"), float("nan")]),
    ("complexes", [1 + 2j, -1.5 - 0.25j, complex(0.0, float("inf")), complex(-0.0, -0.0), 1e30j]),
    ("booleans", [True, False, None]),
    ("tuples", ((), (1,), (1, 2), (1, 2, 3), tuple(range(5)))),
    ("lists", [[], [[]], [[], [[], []]], list(range(20))]),
    ("nested", {"object": "nested", "handshake": {"object": "deeper", "x": [{"object": 1}]}}),
    ("nested-only", {"object": {"object": {"object": "no"}}}),
    ("int-keys", {1: "one", 2.5: "x", (1, "object"): "t", None: "n"}),
    ("sets", {"s": {1, 2, 3}, "e": set(), "f": frozenset(["object"])}),
    ("bytes", b"\x00\xff\x80object'\""),
    ("bytearray", bytearray(b"object\x00\xff")),
    ("bytes-list", [b"", b"object", b"x" * 300]),
    ("credentials", {"user": "irmen", "password": "s3cret", "object": "irmen", "roles": ("a", "b")}),
    ("date", datetime.datetime(2020, 2, 29, 12, 30, 45, 123456)),
    ("dates", [datetime.date(1999, 12, 31), datetime.time(1, 2, 3), datetime.timedelta(days=1, seconds=2)]),
    ("decimal", decimal.Decimal("1.20")),
    ("uuid", uuid.UUID("12345678123456781234567812345678")),
    ("array", array.array("i", [1, 2, 3])),
    ("ordered", collections.OrderedDict([("object", "nested"), ("b", [1])])),
    ("deque", collections.deque([1, "object"])),
    ("exception", ZeroDivisionError("object")),
    ("plain", Plain()),
    ("slots", Slots()),
    ("class", Plain),
    ("loop", loop()),
    ("shared", [SHARED, SHARED, "object", "object", SHARED]),
    ("deep", deep(60)),
    ("long-string", "object" * 60),
    ("longer-string", u(r"\u65e5") * 90),
    ("many-strings", ["s%d" % i for i in range(120)]),
    ("many-ints", [7] * 1100),
]


def extras():
    """Handshake objects that need a package."""
    try:
        import numpy
    except ImportError:
        pass
    else:
        yield "numpy-array", numpy.arange(12.0).reshape(3, 4)
        yield "numpy-objects", numpy.array(["object", {"object": "nested"}], dtype=object)
        yield "numpy-scalar", [numpy.float64(1.5), numpy.int8(3), numpy.str_("object")]
        yield "numpy-records", numpy.zeros(2, dtype=[("object", "i4"), ("y", "f8")])
    try:
        import Pyro4
    except ImportError:
        pass
    else:
        yield "pyro4-uri", Pyro4.URI("PYRO:object@localhost:9999")
        yield "pyro4-proxy", Pyro4.Proxy("PYRO:object@localhost:9999")
        yield "pyro4-error", Pyro4.errors.NamingError("object")
    try:
        import Pyro5.api
    except ImportError:
        pass
    else:
        yield "pyro5-uri", Pyro5.api.URI("PYRO:object@localhost:9999")
        yield "pyro5-proxy", Pyro5.api.Proxy("PYRO:object@localhost:9999")
        yield "pyro5-error", Pyro5.errors.NamingError("object")


def cases():
    """Every handshake object with some id, every id with some handshake, both orders of the keys, and what has no id."""
    handshakes = HANDSHAKES + list(extras())
    for i, (name, handshake) in enumerate(handshakes):
        object_id = IDS[i % 3]
        if i % 4 == 3:
            yield name, ordered(("object", object_id), ("handshake", handshake)), object_id
        else:
            yield name, ordered(("handshake", handshake), ("object", object_id)), object_id
    for i, object_id in enumerate(IDS):
        yield "id-%d" % i, ordered(("handshake", "hello"), ("object", object_id)), object_id
        if PY2:
            yield "id-unicode-%d" % i, ordered((text("handshake"), "hello"), (text("object"), text(object_id))), object_id
    for name, value in [("absent", None), ("number", 5), ("list", ["object"]), ("dict", {"object": "no"})]:
        d = {"handshake": "hello"} if name == "absent" else ordered(("handshake", "hello"), ("object", value))
        yield "no-id-" + name, d, None
    yield "no-dict", ["object", "x"], None


def ordered(*items):
    d = {}  # keeps this order from 3.6 on; before, no order can be had with a plain dict
    for k, v in items:
        d[k] = v
    return d


def stdlib_serializers():
    yield "json", "json", lambda v: json.dumps(v, ensure_ascii=False).encode("utf-8"), lambda b: json.loads(b.decode("utf-8"))
    yield "json", "json-ascii", lambda v: json.dumps(v, indent=1).encode("utf-8"), lambda b: json.loads(b.decode("utf-8"))
    for v in range(marshal.version + 1):
        yield "marshal", "marshal%d" % v, (lambda o, v=v: marshal.dumps(o, v)), marshal.loads
    for p in range(pickle.HIGHEST_PROTOCOL + 1):
        yield "pickle", "pickle%d" % p, (lambda o, p=p: pickle.dumps(o, p)), pickle.loads
        if PY2:
            yield "pickle", "cpickle%d" % p, (lambda o, p=p: cPickle.dumps(o, p)), cPickle.loads
        elif sys.version_info[:2] in [(3, 8), (3, 13)]:
            yield "pickle", "pypickle%d" % p, (lambda o, p=p: pickle._dumps(o, p)), pickle.loads


def pyro4_serializers():
    from Pyro4 import config, util

    for name, s in sorted(util._serializers.items()):
        if name in ("pickle", "cloudpickle", "dill"):
            for p in sorted({2, pickle.HIGHEST_PROTOCOL}):
                def dumps(o, s=s, p=p):
                    config.PICKLE_PROTOCOL_VERSION = config.DILL_PROTOCOL_VERSION = p
                    return s.dumps(o)
                yield name, "%s%d" % (name, p), dumps, s.loads
        else:
            yield name, name, s.dumps, s.loads


def pyro5_serializers():
    import Pyro5.api
    from Pyro5 import serializers

    for name, s in sorted(serializers.serializers.items()):
        yield name, name, s.dumps, s.loads

    def with_bytes_repr(o):
        Pyro5.config.SERPENT_BYTES_REPR = True
        try:
            return serializers.serializers["serpent"].dumps(o)
        finally:
            Pyro5.config.SERPENT_BYTES_REPR = False
    import serpent
    yield "serpent", "serpent-bytes-repr", with_bytes_repr, serializers.serializers["serpent"].loads
    yield "serpent", "serpent-indented", lambda o: serpent.dumps(o, indent=True), serpent.loads


def records(serializers, thin):
    """The payloads by format. With thin, only a part of the cases, chosen by name so that it stays the same."""
    out = collections.defaultdict(list)
    for n, (fmt, name, dumps, loads) in enumerate(serializers):
        for i, (case, value, object_id) in enumerate(cases()):
            if thin and (i + n) % thin:
                continue
            try:
                payload = dumps(value)
            except Exception:
                continue  # this serializer cannot have that object
            try:
                back = loads(payload)
            except Exception:
                back = value  # some classes can be sent and not be read back; the id is there all the same
            if object_id is not None and back["object"] != object_id:
                raise AssertionError("%s of %s does not round-trip" % (name, case))
            out[fmt].append(record(name + "/" + case, payload, object_id))
            if case in ("id-12", "many-ints", "no-id-absent", "evil-single"):
                out[fmt].append(record(name + "/" + case + "/zlib", zlib.compress(payload), object_id, compressed=True))
    return out


def record(name, payload, object_id, compressed=False):
    r = collections.OrderedDict([("name", name), ("payload", base64.b64encode(payload).decode("ascii")), ("id", object_id)])
    if compressed:
        r["compressed"] = True
    return json.dumps(r)


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
    origins = [(VERSION, stdlib_serializers, 4 if PY2 else 9)]
    for name, serializers in [("pyro4", pyro4_serializers), ("pyro5", pyro5_serializers)]:
        try:
            __import__(name.capitalize())
        except ImportError:
            continue
        origins.append((name + "-" + VERSION, serializers, 1 if name == "pyro5" else 2))
    for origin, serializers, thin in origins:
        for fmt, lines in sorted(records(serializers(), thin).items()):
            directory = os.path.join(target, fmt)
            if not os.path.isdir(directory):
                os.makedirs(directory)
            path = os.path.join(directory, origin + ".jsonl")
            with io.open(path, "w", encoding="ascii", newline="\n") as f:
                f.write(text("\n".join(lines) + "\n"))
            print(path, len(lines))


if __name__ == "__main__":
    main()
