"""Asks two name servers the same questions, drawn at random from a seed, and compares how they
answer: values and their types, exceptions with their classes and texts.

usage: ns_compare.py --lib pyro4|pyro5 --serializer NAME --seed N --steps N
                     [--kind ordinary|odd|daemon] [--mapped] HOST:PORT HOST:PORT

Prints one line of JSON: {"steps", "asked": {method: {"values": n, "exceptions": n}},
"differences": [{"step", "call", "left", "right"}], "worded": [...]}. What is not compared:

- The addresses in PYRO: URIs. With --mapped the right server has to hand out its own host in
  place of every address that it was told.
- The order of names and of metadata, in which a name server is free.
- The words for what is Python's own to say: of missing arguments, wrong types, bad patterns. Its
  class is compared, and such exceptions whose texts differ are listed as "worded".
- What a name server has as metadata of itself, as long as the library's own class is among it:
  one for both libraries may say more.

Nothing registers the name server's own name for something else, or changes what it has there: it
may refuse that. And what is no address, and tags that are no texts, are not registered, which the
libraries do not look at.

A kind "odd" of sequence has arguments of wrong types and shapes among the others.
"""

import argparse
import json
import random
import re

import pyrolib

NAMES = ["lab.robin", "lab.wren", "lab.wren.2", "lab.Wren", "zoo.emu", "zoo", "z", "K\u00e4fer", "with space",
         "%_", "(.*)", "lab.\u4f60\u597d", "Pyro.NameServer", "Pyro.Daemon"]
OWN = "Pyro.NameServer"
UNKNOWN = ["nobody", "lab.", "lab.robin ", "LAB.ROBIN", ""]
URIS = ["PYRO:obj_a@127.0.0.1:4501", "PYRO:obj_b@127.0.0.1:4502", "PYRO:obj_a@127.0.0.1:4503", "PYRO:obj_c@[::1]:4504",
        "PYRO:obj_d@localhost:4505", "pyro:obj_e@127.0.0.1:4507",
        "PYRONAME:lab.robin", "PYRONAME:lab.wren@127.0.0.1:9090", "PYROMETA:sings"]
BAD_URIS = ["", "nothing", "PYRO:", "PYRO:obj", "PYRO:obj@", "PYRO:obj@127.0.0.1", "PYRO:obj@127.0.0.1:port", "PYRO:obj@[[::1]]:1",
            "PYRO:obj@[::g]:1", "PYRO:obj@./u:", "PYRO:obj@./u:a:b", "PYROX:obj@127.0.0.1:1", "HTTP://127.0.0.1/", "PYRO:o b@127.0.0.1:1"]
TAGS = ["sings", "swims", "kind:bird", "kind:fish", "class:a.B", "\u00e4", ""]
PREFIXES = ["lab.", "lab", "l", "zoo", "z", "Lab", "Pyro.", "K\u00e4", "%", "(", "", "nobody"]
PATTERNS = ["lab", "lab$", r"lab\..*", ".*", ".", "^$", "[lz].*", "(?i)LAB", r"\w+\.\w+$", "zoo|lab", "K.fer", "(lab)\\.(?P<x>w).*",
            "lab\\.(?!wren)", r"(.)oo\1?", ".*\u4f60", ".{3}$", ""]
BAD_PATTERNS = ["(", "[", "*", "a{2,1}", "(?P<x", "\\", "(?z)"]
ODD = [None, 5, -1, True, 1.5, ["lab.robin"], {"a": 1}, [], {}, "text", [["nested"]], ["a", "b"]]

REGISTERED = {uri.rpartition("@")[2] for uri in URIS}

# How the texts begin that Pyro itself has. The others are Python's.
PYROS_OWN = re.compile(
    r"unknown name: |name already registered: |only URIs or strings|name must be a str|metadata(_a..)? should not be a str"
    r"|you can|invalid uri|invalid port|invalid ipv6|unknown object|remote object|method not|attempt to access|message used"
    r"|object '|no registrations|connection to|private")
OWN_ADDRESS = re.compile(r"\('127\.0\.0\.1', \d+\)")
ADDRESS = re.compile(r"^(PYRO):(\S+?)@((\[[^\]]*\]|[^\[:]+):\d+|\./u:.+)$", re.IGNORECASE)


class Sequence:
    """The calls that a seed gives."""

    def __init__(self, lib, seed, kind):
        self.lib, self.random, self.odd = lib, random.Random(seed), kind == "odd"

    def one_of(self, good, bad, share=0.15):
        return self.random.choice(bad if self.random.random() < share else good)

    def name(self):
        return self.one_of(NAMES, UNKNOWN)

    def tags(self, least=0):
        return self.random.sample(TAGS, self.random.randint(least, 3))

    def metadata(self):
        tags = self.tags()
        return self.random.choice([tags, set(tags), tuple(tags), None, tags, set(tags), "a text"])

    def uri(self):
        uri = self.one_of(URIS, BAD_URIS)
        if uri in URIS and self.random.random() < 0.5:
            return self.lib.core.URI(uri)
        return uri

    def next(self):
        """Gives a method, its arguments and its keyword arguments."""
        choice = self.random.choice
        method = choice(["register"] * 6 + ["lookup"] * 4 + ["list"] * 6 + ["set_metadata"] * 3 + ["remove"] * 2
                        + ["count", "ping", "yplookup", "yplookup", "yplookup", "unknown"])
        args, kwargs = [], {}
        if method == "register":
            args = [self.name(), self.uri()]
            if choice([True, False]):
                kwargs["safe"] = choice([True, False])
            if args[0] == OWN:
                kwargs["safe"] = True
            if choice([True, False, True]):
                kwargs["metadata"] = self.metadata()
        elif method == "lookup":
            args = [self.name()]
            if choice([True, False]):
                kwargs["return_metadata"] = choice([True, False])
        elif method == "list":
            ways = ["prefix", "regex"] + (["metadata_all", "metadata_any"] if self.lib.name == "pyro4" else [])
            for way in self.random.sample(ways, choice([0, 1, 1, 1, 1, 2])):
                kwargs[way] = {"prefix": lambda: choice(PREFIXES), "regex": lambda: self.one_of(PATTERNS, BAD_PATTERNS),
                               }.get(way, lambda: self.metadata())()
            if choice([True, False]):
                kwargs["return_metadata"] = choice([True, False])
        elif method == "yplookup":
            for way in self.random.sample(["meta_all", "meta_any"], choice([0, 1, 1, 1, 2])):
                kwargs[way] = self.metadata()
            if choice([True, False]):
                kwargs["return_metadata"] = choice([True, False])
        elif method == "set_metadata":
            name = self.name()
            args = ["nobody" if name == OWN else name, self.metadata()]
        elif method == "remove":
            way = choice(["name", "name", "name", "prefix", "regex", "several", "none"])
            if way in ("name", "several"):
                kwargs["name"] = self.name()
            if way in ("prefix", "several"):
                kwargs["prefix"] = choice(["lab.w", "z", "nobody", "Pyro."])
            if way in ("regex", "several"):
                kwargs["regex"] = self.one_of(["lab.*2", "zo+$", "nobody", "Pyro"], BAD_PATTERNS)
            if way == "name" and choice([True, False]):
                args = [kwargs.pop("name")]
        elif method == "unknown":
            method = choice(["nosuch", "_private", "__init__", "storage", "lock", "optimized_prefix_list", "Lookup"])
        if self.odd and self.random.random() < 0.5:
            self.make_odd(args, kwargs)
        return method, args, kwargs

    def make_odd(self, args, kwargs):
        how = self.random.choice(["value", "value", "value", "keyword", "more", "fewer", "unknown keyword"])
        if args and args[0] == OWN:
            return  # "safe" has to stay
        if how == "value" and args:
            args[self.random.randrange(len(args))] = self.random.choice(ODD)
        elif how in ("value", "keyword") and kwargs:
            kwargs[self.random.choice(sorted(kwargs))] = self.random.choice(ODD)
        elif how == "more":
            args.extend([self.random.choice(ODD)] * self.random.randint(1, 6))
        elif how == "fewer":
            del args[-1:]
        else:
            kwargs[self.random.choice(["nosuch", "self", "name", "prefix", "uri"])] = self.random.choice(ODD)


class Server:
    """A name server, and how its answers are made comparable."""

    def __init__(self, lib, location, mapped):
        self.lib, self.location = lib, location
        self.host = location.rpartition(":")[0] if mapped else None
        self.proxy = lib.Proxy("PYRO:Pyro.NameServer@" + location)

    def ask(self, method, args, kwargs):
        return self.outcome(lambda: self.proxy._pyroInvoke(method, tuple(args), kwargs))

    def outcome(self, call):
        try:
            return ["value", self.comparable(call())]
        except Exception as x:
            cls, text = type(x).__module__ + "." + type(x).__qualname__, OWN_ADDRESS.sub("ADDRESS", str(x))
            if text.startswith("invalid regex: "):
                return ["exception", cls, "invalid regex: ...", text]
            if not PYROS_OWN.match(text):
                return ["exception", cls, "in Python's words", text]
            return ["exception", cls, text, text]

    def comparable(self, value):
        if isinstance(value, dict):
            entries = {str(k): self.comparable(v) for k, v in value.items()}
            if "Pyro.NameServer" in entries:
                entries["Pyro.NameServer"] = self.without_own(entries["Pyro.NameServer"])
            return ["dict", sorted(entries.items())]
        if isinstance(value, tuple):
            return ["tuple"] + self.without_own([self.comparable(v) for v in value])
        if isinstance(value, (list, set, frozenset)):
            kind = "list" if isinstance(value, list) else "set"  # a frozenset equals it
            return [kind] + sorted((self.comparable(v) for v in value), key=json.dumps)
        if isinstance(value, self.lib.core.URI):
            return ["URI", self.address(str(value))]
        if isinstance(value, str):
            return self.address(value)
        return [type(value).__name__, value if isinstance(value, (bool, int, float, type(None))) else repr(value)]

    def without_own(self, entry):
        """Takes for equal what name servers say of themselves, if it has the library's class in it."""
        own = {"pyro4": "class:Pyro4.naming.NameServer", "pyro5": "class:Pyro5.nameserver.NameServer"}[self.lib.name]
        parts = list(entry) if isinstance(entry, list) else []
        for i, part in enumerate(parts):
            if isinstance(part, list) and own in part:
                parts[i] = [part[0], "its own"]
        return parts or entry

    def address(self, text):
        m = ADDRESS.match(text)
        if m:
            if self.host is not None and (m.group(3) in REGISTERED or not m.group(3).startswith(self.host + ":")):
                return "%s (handed out as it was registered)" % text
            return "PYRO:%s@ADDRESS" % m.group(2)
        if text.startswith("PYROMETA:"):
            return "PYROMETA:" + ",".join(sorted(text[len("PYROMETA:"):].split(",")))
        return text


def daemon_questions(lib, server):
    """What is asked of the daemon that a name server lives in, and of its proxies."""
    def daemon(method, *args):
        with lib.Proxy("PYRO:Pyro.Daemon@" + server.location) as d:
            return d._pyroInvoke(method, args, {})

    def bind(object_id):
        with lib.Proxy("PYRO:%s@%s" % (object_id, server.location)) as p:
            p._pyroBind()
            return [set(p._pyroMethods), set(p._pyroOneway), set(p._pyroAttrs)]

    def batch(*calls):
        b = lib.batch(server.proxy)
        for method, *args in calls:
            getattr(b, method)(*args)
        return list(b())

    def pinged():
        server.proxy._pyroBind()
        lib.ping(server.proxy)

    def of_metadata(object_id):
        found = daemon("get_metadata", object_id)
        return {k: set(v) for k, v in found.items()}

    uri = "PYRO:obj_a@127.0.0.1:4501"
    yield "Pyro.Daemon.ping", lambda: daemon("ping")
    yield "Pyro.Daemon.registered", lambda: daemon("registered")
    yield "Pyro.Daemon.get_metadata", lambda: of_metadata("Pyro.NameServer")
    yield "Pyro.Daemon.get_metadata of itself", lambda: of_metadata("Pyro.Daemon")
    yield "Pyro.Daemon.get_metadata of nobody", lambda: daemon("get_metadata", "nobody")
    yield "Pyro.Daemon.nosuch", lambda: daemon("nosuch")
    yield "bind", lambda: bind("Pyro.NameServer")
    yield "bind the daemon", lambda: bind("Pyro.Daemon")
    yield "bind nobody", lambda: bind("nobody")
    yield "a message PING", pinged
    yield "batch", lambda: batch(("register", "batch.a", uri), ("lookup", "batch.a"), ("count",), ("list", "batch."))
    yield "batch with an exception", lambda: batch(("ping",), ("lookup", "batch.nobody"), ("ping",))
    yield "attribute", lambda: server.proxy._pyroInvoke("__getattr__", ("storage",), {})
    yield "iteration", lambda: list(server.proxy._pyroInvoke("__iter__", (), {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--serializer", default="serpent")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--kind", choices=["ordinary", "odd", "daemon"], default="ordinary")
    parser.add_argument("--mapped", action="store_true")
    parser.add_argument("left")
    parser.add_argument("right")
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    lib.accept(lib.serializers)
    lib.config.SERIALIZER = args.serializer
    lib.config.COMMTIMEOUT = 20

    left, right = Server(lib, args.left, False), Server(lib, args.right, args.mapped)
    asked, differences, worded = {}, [], []

    def compare(step, call, method, one, two):
        counts = asked.setdefault(method, {"values": 0, "exceptions": 0})
        counts["values" if one[0] == "value" else "exceptions"] += 1
        if one[:3] != two[:3] and len(differences) < 10:
            differences.append({"step": step, "call": call, "left": one, "right": two})
        elif one[3:] != two[3:] and len(worded) < 10:
            worded.append({"call": call, "left": one, "right": two})

    if args.kind == "daemon":
        for (what, one), (_, two) in zip(daemon_questions(lib, left), daemon_questions(lib, right)):
            compare(0, what, what, left.outcome(one), right.outcome(two))
    sequence = Sequence(lib, args.seed, args.kind)
    for step in range(args.steps):
        method, positional, keywords = sequence.next()
        call = "%s(*%r, **%r)" % (method, positional, keywords)
        compare(step, call, method, left.ask(method, positional, keywords), right.ask(method, positional, keywords))
    print(json.dumps({"steps": args.steps, "asked": asked, "differences": differences, "worded": worded}))


if __name__ == "__main__":
    main()
