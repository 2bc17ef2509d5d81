"""What CPython's own loaders make of payloads, for TestDifferential. Standard library only; msgpack is used if it is there.

    python oracle.py generate SEED N    writes N random CONNECT payloads: "format payload id strings" a line, all but the first in base64;
                                        the strings, with commas in between, are those a payload holds, shared ones at each place
    python oracle.py load               answers each line "format payload" on stdin with one of
                                            -      the loader refuses it
                                            ?      it loads, and there is no dict with a string "object"
                                            =ID    the id, in base64 of UTF-8 (surrogates passed)
"""
import ast
import base64
import io
import json
import marshal
import pickle
import pickletools
import random
import resource
import string
import struct
import sys
import warnings


class Refused(Exception):
    pass


class DataOnly(pickle.Unpickler):
    """Unpickles nothing that would have to be imported, so nothing that runs."""

    def find_class(self, module, name):
        raise Refused


def load_serpent(data):
    source = data.decode("utf-8")
    if "\0" in source:  # as in serpent.loads
        raise Refused
    return ast.literal_eval(source)


def load_msgpack(data):
    """Enough of MessagePack to check against where the real package is missing."""
    f = io.BytesIO(data)
    v = msgpack_value(f)
    if f.read(1):
        raise Refused
    return v


def msgpack_value(f):
    def take(n):
        b = f.read(n)
        if len(b) != n:
            raise Refused
        return b

    def number(fmt):
        return struct.unpack(">" + fmt, take(struct.calcsize(fmt)))[0]

    c = take(1)[0]
    if c < 0x80 or c >= 0xE0:
        return c
    if c < 0x90:
        return msgpack_pairs(f, c & 15)
    if c < 0xA0:
        return [msgpack_value(f) for _ in range(c & 15)]
    if c < 0xC0:
        return take(c & 31).decode("utf-8")
    if c in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[c]
    if c in (0xC4, 0xC5, 0xC6):
        return take(number("BHI"[c - 0xC4]))
    if c in (0xC7, 0xC8, 0xC9):
        return ("ext", take(number("BHI"[c - 0xC7]) + 1))
    if 0xCA <= c <= 0xD3:
        return number("fdBHIQbhiq"[c - 0xCA])
    if 0xD4 <= c <= 0xD8:
        return ("ext", take((1 << (c - 0xD4)) + 1))
    if c in (0xD9, 0xDA, 0xDB):
        return take(number("BHI"[c - 0xD9])).decode("utf-8")
    if c in (0xDC, 0xDD):
        return [msgpack_value(f) for _ in range(number("HI"[c - 0xDC]))]
    if c in (0xDE, 0xDF):
        return msgpack_pairs(f, number("HI"[c - 0xDE]))
    raise Refused


def msgpack_pairs(f, n):
    d = {}
    for _ in range(n):
        key = msgpack_value(f)
        d[key] = msgpack_value(f)
    return d


def dump_msgpack(v):
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        if 0 <= v < 128:
            return bytes([v])
        return random.choice([b"\xd3" + struct.pack(">q", v), b"\xd2" + struct.pack(">i", v)])
    if isinstance(v, float):
        return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode("utf-8")
        return msgpack_head(len(b), (0xA0, 32), 0xD9, 0xDA, 0xDB) + b
    if isinstance(v, (bytes, bytearray)):
        return msgpack_head(len(v), None, 0xC4, 0xC5, 0xC6) + v
    if isinstance(v, dict):
        return msgpack_head(len(v), (0x80, 16), None, 0xDE, 0xDF) + b"".join(dump_msgpack(k) + dump_msgpack(x) for k, x in v.items())
    return msgpack_head(len(v), (0x90, 16), None, 0xDC, 0xDD) + b"".join(map(dump_msgpack, v))


def msgpack_head(n, fix, c8, c16, c32):
    """A head in any of the widths that will do: writers need not choose the shortest."""
    choices = [struct.pack(">BI", c32, n)]
    if n < 1 << 16:
        choices.append(struct.pack(">BH", c16, n))
    if c8 and n < 256:
        choices.append(bytes([c8, n]))
    if fix and n < fix[1]:
        choices.append(bytes([fix[0] | n]))
    return random.choice(choices)


try:
    import msgpack
except ImportError:
    unpack_msgpack = load_msgpack
else:
    def unpack_msgpack(data):
        return msgpack.unpackb(data, raw=False, strict_map_key=False)


LOADERS = {
    "serpent": load_serpent,
    "json": lambda data: json.loads(data.decode("utf-8")),
    "marshal": marshal.loads,
    "pickle": lambda data: DataOnly(io.BytesIO(data)).load(),
    "msgpack": unpack_msgpack,
}


def answer(fmt, data):
    try:
        v = LOADERS[fmt](data)
    except Exception:
        return "-"
    if type(v) is not dict:
        return "?"
    object_id = v.get("object", v.get(b"object"))
    if isinstance(object_id, str):
        object_id = object_id.encode("utf-8", "surrogatepass")
    if not isinstance(object_id, bytes):
        return "?"
    return "=" + base64.b64encode(object_id).decode()


def random_text():
    alphabet = random.choice([string.ascii_letters, "object", "'\"\\\n\r\t#{}[](),: object", "\x00\x01\x7f\x80\xe9\u2028\ufeff\U0001f600\u65e5"])
    return random.choice([
        "object", "handshake", "'object': 'x'",
        "".join(random.choice(alphabet) for _ in range(random.choice([0, 1, 3, 6, 20, 300]))),
    ])


def random_value(depth, shared):
    kind = random.randrange(16 if depth else 9)
    if kind <= 2:
        v = random_text()
    elif kind == 3:
        v = random.choice([0, 1, 5, 127, 128, 255, 65536, 2 ** 31 - 1, -1, -129, -2 ** 31, random.getrandbits(31)])
    elif kind == 4:
        v = random.choice([0.0, -1.5, 1e300, 3.14159])
    elif kind == 5:
        v = random.choice([None, True, False])
    elif kind == 6:
        v = random_text().encode("utf-8")
    elif kind == 7 and shared:
        return random.choice(shared)
    elif kind <= 8:
        v = {"complex": 1.5 - 2j, "big": random.getrandbits(200), "bytearray": bytearray(b"object")}[random.choice(["complex", "big", "bytearray"])]
    elif kind <= 10:
        v = [random_value(depth - 1, shared) for _ in range(random.randrange(5))]
    elif kind <= 12:
        v = tuple(random_value(depth - 1, shared) for _ in range(random.randrange(5)))
    elif kind == 13:
        v = {random_text() for _ in range(random.randrange(1, 4))}
        v = frozenset(v) if random.random() < 0.5 else v
    else:
        v = {random_text(): random_value(depth - 1, shared) for _ in range(random.randrange(5))}
    shared.append(v)
    return v


def random_serpent(v):
    """Python source for v, in all the ways there are to write it."""
    space = random.choice(["", "", " ", "\n", "\t# 'object': 'no'\n "])
    if isinstance(v, (str, bytes)):
        return space + random_literal(v)
    if isinstance(v, bytearray):
        return space + random_literal(bytes(v))
    if isinstance(v, dict):
        return space + "{" + ",".join(random_serpent(k) + space + ":" + random_serpent(x) for k, x in v.items()) + "}"
    if isinstance(v, (set, frozenset)):
        return space + "{" + ",".join(map(random_serpent, v)) + random.choice(["", ","]) + "}"
    if isinstance(v, list):
        return space + "[" + ",".join(map(random_serpent, v)) + space + "]"
    if isinstance(v, tuple):
        return space + "(" + "".join(random_serpent(x) + "," for x in v) + space + ")"
    s = repr(v)
    return space + ("(" + s + space + ")" if random.random() < 0.1 else s)


def random_literal(v):
    if len(v) > 1 and random.random() < 0.2:
        n = random.randrange(len(v))
        left, right = random_literal(v[:n]), random_literal(v[n:])
        # Without space in between, '' and 'x' would make the beginning of a triple quote.
        return left + random.choice([" ", "\n#'\n"] + [""] * (left[-1] != right[0])) + right
    if random.random() < 0.4:
        return repr(v)
    is_bytes = isinstance(v, bytes)
    quote = random.choice(["'", '"', "'''", '"""'])
    out = []
    for c in v:
        code = c if is_bytes else ord(c)
        forms = ["\\x%02x" % code, "\\%03o" % code] if code < 256 else []
        if not is_bytes:
            forms += ["\\U%08x" % code] + (["\\u%04X" % code] if code < 65536 else [])
        if 32 <= code < 127 and chr(code) not in "\\'\"":
            forms = [chr(code)] * 6 + forms
        out.append(random.choice(forms) + random.choice(["\\\n"] + [""] * 20))
    prefix = random.choice(["b", "B"] if is_bytes else ["", "", "u", "U"])
    return prefix + quote + "".join(out) + quote


def random_pickle(v):
    protocol = random.randrange(pickle.HIGHEST_PROTOCOL + 1)
    data = random.choice([pickle.dumps, pickle._dumps])(v, protocol)
    return pickletools.optimize(data) if random.random() < 0.3 else data


def random_json(v):
    def simple(v):
        if isinstance(v, (set, frozenset)):
            return list(v)
        if isinstance(v, complex):
            return random.choice([float("nan"), float("inf"), float("-inf")])
        return v.decode("latin-1")

    return json.dumps(v, default=simple, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1])).encode("utf-8")


DUMPERS = {
    "serpent": lambda v: ("# serpent utf-8 python3.2\n" + random_serpent(v)).encode("utf-8"),
    "json": random_json,
    "marshal": lambda v: marshal.dumps(v, random.randrange(5)),
    "pickle": random_pickle,
    "msgpack": dump_msgpack,
}


def strings(v, fmt, protocol):
    """What fmt writes as strings for v. The protocol is pickle's."""
    if isinstance(v, str):
        yield v.encode("utf-8", "surrogatepass")
    elif isinstance(v, (bytes, bytearray)):
        if fmt == "json":
            yield v.decode("latin-1").encode("utf-8")
        elif fmt != "pickle" or protocol >= 3:
            yield bytes(v)
        elif v:  # as a call of codecs.encode
            yield v.decode("latin-1").encode("utf-8")
            yield b"latin1"
    elif isinstance(v, dict):
        for key, value in v.items():
            yield from strings(key, fmt, protocol)
            yield from strings(value, fmt, protocol)
    elif isinstance(v, (list, tuple, set, frozenset)):
        for item in v:
            yield from strings(item, fmt, protocol)


def generate(seed, n):
    random.seed(seed)
    while n > 0:
        fmt = random.choice(sorted(DUMPERS))
        object_id = random_text()
        items = [("handshake", random_value(4, [])), ("object", object_id)]
        if random.random() < 0.3:
            items.insert(random.randrange(3), (random_text(), random_value(2, [])))
        if random.random() < 0.5:
            items.reverse()
        v = dict(items)
        v["object"] = object_id
        try:
            data = DUMPERS[fmt](v)
        except (TypeError, ValueError, struct.error):
            continue  # not every format has every type
        protocol = data[1] if data[0] == 0x80 else 0
        fields = [base64.b64encode(b).decode() for b in strings(v, fmt, protocol)]
        print(fmt, base64.b64encode(data).decode(), base64.b64encode(object_id.encode("utf-8")).decode(), ",".join(fields))
        n -= 1


def main():
    warnings.simplefilter("ignore")  # of invalid escapes
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    if sys.argv[1] == "generate":
        generate(int(sys.argv[2]), int(sys.argv[3]))
        return
    for line in sys.stdin:
        fmt, data = line.split()
        print(answer(fmt, base64.b64decode(data)), flush=True)  # it may crash on the next


if __name__ == "__main__":
    main()
