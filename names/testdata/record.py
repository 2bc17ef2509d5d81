"""Records what the NameServer classes of Pyro4 and Pyro5 answer, and what re matches.

    python record.py       writes calls.jsonl.gz and regex.jsonl beside itself

Steps of a recording follow each other on one name server; "new" begins another.
"""
import gzip
import io
import json
import os
import random
import re
import warnings

import Pyro4.core
import Pyro4.naming
import Pyro5.core
import Pyro5.nameserver

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
OWN = "Pyro.NameServer"
U = "PYRO:a@h:1"


def enc(v):
    if v is None or isinstance(v, (bool, str)):
        return v
    if isinstance(v, int):
        return {"int": str(v)}
    if isinstance(v, float):
        return {"float": v}
    if isinstance(v, complex):
        return {"complex": [v.real, v.imag]}
    if isinstance(v, bytes):
        return {"bytes": list(v)}
    if isinstance(v, (Pyro4.core.URI, Pyro5.core.URI)):
        return {"uri": str(v)}
    if isinstance(v, dict):
        return {"dict": [[enc(k), enc(x)] for k, x in v.items()]}
    for kind, name in ((tuple, "tuple"), (list, "list"), ((set, frozenset), "set")):
        if isinstance(v, kind):
            return {name: [enc(x) for x in v]}
    raise TypeError(v)


class Recorder:
    def __init__(self, out, dialect):
        self.out, self.dialect = out, dialect
        self.core = Pyro4.core if dialect == 48 else Pyro5.core
        self.new()

    def new(self):
        if self.dialect == 48:
            self.ns = Pyro4.naming.NameServer()
            own = "class:Pyro4.naming.NameServer"
        else:
            self.ns = Pyro5.nameserver.NameServer()
            own = "class:Pyro5.nameserver.NameServer"
        self.ns.register(OWN, "PYRO:%s@own:9090" % OWN, metadata={own})
        self.write({"new": True})

    def write(self, step):
        step["dialect"] = self.dialect
        self.out.write(json.dumps(step) + "\n")

    def call(self, method, *args, **kwargs):
        step = {"method": method, "args": [enc(a) for a in args],
                "kwargs": [[k, enc(v)] for k, v in kwargs.items()]}
        try:
            step["result"] = enc(getattr(self.ns, method)(*args, **kwargs))
        except Exception as x:
            module = type(x).__module__
            if module.startswith("Pyro"):
                module = module.split(".")[1]
            step["error"] = [module + "." + type(x).__name__, str(x)]
        self.write(step)


def table(r):
    """Every method with every form of argument, right and wrong."""
    odd = [None, True, False, 0, 5, 10**30, 0.0, 1.5, 0j, 1j, "", "t", b"", b"t", (), ("t",), ("t", "o"), ("o", 5),
           (5, "o"), [], ["t"], [[]], ["m1", []], ("m1", ([],)), set(), {"t"}, {"m1"}, {}, {"m1": 1}, r.core.URI(U)]
    fill = lambda: (r.new(), r.call("register", "one", U), r.call("register", "two", U, False, ["m2", "m1", "m2"]),
                    r.call("register", name="three", uri=r.core.URI("PYRO:b@[::1]:5"), metadata=("m1",), safe=True))
    for text in ["", "x", "PYRO:a", "PYRO:a@", "PYRO:a@h", "PYRO:a@h:x", "PYRO:a@h:", "PYRO:a b@h:1", "PYRONAME:x",
                 "PYRONAME:x@h", "PYRONAME:x@h:5", "PYROMETA:x", "PYROX:x@h:1", "PYRO:a@./u:", "PYRO:a@./u:x", "PYRO:a@./u:x:y",
                 "PYRO:a@[::1]:5", "PYRO:a@[[::1]]:5", "PYRO:a@[zz]:5", "PYRO:a@[::1]", "pyro:a@h:1", "PyRo:a@h:1", "PYRO:a@h:1@k:2",
                 "PYRO:a@h:1\n", "PYRO:a@h:-1", "PYRO:a@h:99999999", "PYRO:a@h: 5 ", "PYRO:a@h:1_0", "PYRO:\u00e4@h:1"]:
        fill()
        r.call("register", "u", text)
        r.call("list", prefix="u")
        r.call("lookup", "u")
    for safe in (True, 1, "yes", [0], False, 0, "", []):
        fill()
        r.call("register", "one", "PYRO:c@h:3", safe)
        r.call("register", "two", "PYRO:c@h:3", safe, [[]])
        r.call("list")
        r.call("list", return_metadata=True)
        r.call("register", "fresh", "PYRO:c@h:3", safe)
        r.call("count")
    for v in odd:
        fill()
        r.call("lookup", v)
        r.call("lookup", "two", v)
        r.call("lookup", "one", return_metadata=v)
        r.call("register", v, U)
        r.call("register", "x", v)
        r.call("register", v, v, v, "text")
        if not (isinstance(v, (bytes, tuple, list, set, dict)) and any(not isinstance(i, (str, list)) for i in v)):
            r.call("register", "y", U, metadata=v)
            r.call("set_metadata", "one", v)
        r.call("set_metadata", v, ["m9"])
        if v not in (("m1", ([],)),):
            r.call("set_metadata", "nobody", [v] if isinstance(v, list) else None)
        r.call("list", return_metadata=True)
        r.call("list", return_metadata=v)
        r.call("list", v)
        r.call("list", None, v)
        r.call("list", "", v)
        r.call("list", v, "t")
        r.call("list", None, None, v)
        r.call("list", None, None, None, v)
        r.call("list", None, None, v, None, True)
        if r.dialect == 48:
            r.call("list", metadata_all=v)
            r.call("list", metadata_any=v)
            r.call("list", metadata_all=v, metadata_any=[])
        else:
            r.call("yplookup", v)
            r.call("yplookup", None, v)
            r.call("yplookup", v, ["m1"])
            r.call("yplookup", ["m1"], return_metadata=v)
            r.call("yplookup", meta_any=("m2", "m7"), return_metadata=v)
        r.call("remove", v, "nothing")
        r.call("remove", "nobody", v)
        r.call("list")
        fill()
        r.call("remove", regex=v)
        r.call("remove", OWN, v)
        r.call("list")
    fill()
    for method in ("lookup", "register", "set_metadata", "list", "remove", "count", "ping") + (() if r.dialect == 48 else ("yplookup",)):
        for n in range(8):
            r.call(method, *(["a", "b", ["c"], "d", "e", "f", "g"][:n]))
            r.call(method, *(["a", "b", ["c"], "d", "e", "f", "g"][:n]), foo=1)
            for p in ("name", "metadata", "regex", "return_metadata", "uri"):
                r.call(method, *(["a", "b", ["c"], "d", "e", "f", "g"][:n]), **{p: "PYRO:z@h:1"})
    for args, kw in [((OWN,), {}), ((), {"prefix": "Pyro"}), ((), {"prefix": "P"}), ((OWN, "on"), {}), (("nobody", "tw"), {}),
                     ((), {"regex": "t"}), ((), {"regex": "("}), ((), {}), (("one", "t"), {}), ((), {"prefix": "t", "regex": "("})]:
        fill()
        r.call("remove", *args, **kw)
        r.call("list")
        r.call("lookup", OWN)
        r.call("lookup", OWN, True)


def walk(r, seed):
    """A random history."""
    rnd = random.Random(seed)
    names = ["", "a", "ab", "abc", "b", "x.y", "x/y", "x%20", "\u00e9t\u00e9", "A b"]
    tags = ["m1", "m2", "m3", "group:g", ""]
    name = lambda: rnd.choice(names)
    meta = lambda: rnd.choice([None, [], rnd.sample(tags, 2), tuple(rnd.sample(tags, 1)), set(rnd.sample(tags, 3))])
    some = lambda: rnd.sample(tags, rnd.randint(0, 2))
    uri = lambda: "PYRO:o%d@h%d:%d" % (rnd.randint(0, 3), rnd.randint(0, 3), rnd.randint(1, 9))
    r.new()
    for _ in range(150):
        op = rnd.randint(0, 9)
        if op <= 2:
            r.call("register", name(), uri(), rnd.random() < .4, meta())
        elif op == 3:
            r.call("set_metadata", name(), meta())
        elif op == 4:
            r.call("lookup", name(), rnd.random() < .5)
        elif op == 5:
            r.call("remove", name())
        elif op == 6 and rnd.random() < .4:
            r.call("remove", **rnd.choice([{"prefix": name()}, {"regex": rnd.choice(["a", "x.", ".*b$", "[^a]"])}]))
        elif op == 7:
            r.call("list", **rnd.choice([{"prefix": name()}, {"regex": rnd.choice(["a", "x.", ".*b$", "\\w+$"])}, {}]),
                   return_metadata=rnd.random() < .5)
        elif op == 8 and r.dialect == 48:
            r.call("list", **{rnd.choice(["metadata_all", "metadata_any"]): some()}, return_metadata=rnd.random() < .5)
        elif op == 8:
            r.call("yplookup", **{rnd.choice(["meta_all", "meta_any"]): some()}, return_metadata=rnd.random() < .5)
        elif op == 9:
            r.call("count")


NAMES = [OWN, "one", "two", "three", "aab", "a1_", "t t", "\u00e9t\u00e9", "x\ny", "", "-", "A.B", "\u0663", "a\n"]
PATTERNS = r"""t ^t wo t$ ( [ * a{2 a{2,1} (?P<x>a)(?P<x>b) (?P=x) \1 (a)\1 (?=t) (?!t)t (?<=t) (?<!t)o a++ (?>a) \Z t.*\Z \z (?i)T a(?i)b
(?a)t (?L)t (?u)t \d \q \u0074 \x74 [[:alpha:]] \p{L} (?P<n>t) (?:t) t|o (?#c)t (?(1)a|b) (t)(?(1)w|b) \N{DIGIT\x20ONE} ) a** ?
t{1001} (?s)x.y (?m)^t (?-i:t) (?i:T) \A \bt \B [^] [] [z-a] \ (?P<1>t) (?P<t \07 \8 t{,2} \Qt\E \C [\d-t] (?U)t (?t) t{2}{3} (?<n>t)
x*? x?? x{1,2}? [\w--t] [a&&b] \pL []t] [^]t] [a-] [-a] [a\-t] [\]t] (?P (?P<> (?P= (?P=) (? (?# (?< (?: (?:a (?i (?i- (?-: (?i-i:a) (?au:a) (?z) (?-a:a)
(?t:a) (?x:t#c (?x)\ t (?1) a{ a{} a{,} a{1,} {1} a|*b ^* $+ \b* (^)* (?:)* () (|) | a| |a [\W] [^\W] [^\w] [\Wa] [\D] [\S]+$ \S+$ \W \w+$ \D \s.* .*\s
\x \x4 \u00 \U0001F600 \U99999999 \400 \377 \101 [\101] [\400] [\9] [\b] \10 (a)\10 [\x4] [\N{x \N \N{} \0 \00 \000 \0000 (?P<a>t)(?P=a) (?P<a>(?P=a))
(a(\1)) t.. .*$ x.y$ x$ (?m)x$ (?s).*y$ [a-z]+$ [^a-z]+$ (?i)[a-z]+$ (?a)\w+$ (?i)\u00c9T \u00c9 (?P<\u00e9>t) a{4294967295} a{99999999999999999999} (?(a)b|c) (?(0)a) (?(1)a|b|c) (?i)(?s)T ((?i)t) |(?i)t""".split() + [
    "", "(?x) t # c", "(?x) t\n w # c\no", "t t", "(?x)t\\ t", "a\n(", "\n\n a**", "(?x:t #c\n)w", "(?x)[ t]", "(?x)a |t", " (?x)t", "(\\"]


def regexes(out):
    rnd = random.Random(5)
    atoms = ["a", "t", "o", ".", "\\w", "\\d", "\\W", "[a-t]", "[^t]", "[\\w-]", "(", "(?:", ")", ")", "|", "*", "+", "?", "{1,2}", "{2}", "{,1}", "^",
             "$", "\\b", "\\Z", "(?i:", "(?P<n>", "\\1", "[", "]", "-", "\\", "{", "}", "(?", "(?-s:", "(?s:", "\\S", "\\n", "1", "_"]
    patterns = list(PATTERNS)
    for _ in range(1500):
        patterns.append("".join(rnd.choice(atoms) for _ in range(rnd.randint(1, 7))))
    for p in dict.fromkeys(patterns):
        step = {"pattern": p}
        try:
            c = re.compile(p)
            step["matches"] = [n for n in NAMES if c.match(n)]
        except re.error as x:
            step["error"] = str(x)
        except OverflowError as x:
            step["overflow"] = str(x)
        out.write(json.dumps(step) + "\n")


if __name__ == "__main__":
    with open(os.path.join(HERE, "calls.jsonl.gz"), "wb") as z, \
            io.TextIOWrapper(gzip.GzipFile("", "wb", fileobj=z, mtime=0)) as f:
        for dialect in (48, 502):
            r = Recorder(f, dialect)
            table(r)
            for seed in range(4):
                walk(r, seed)
    with open(os.path.join(HERE, "regex.jsonl"), "w") as f:
        f.write(json.dumps({"names": NAMES}) + "\n")
        regexes(f)
