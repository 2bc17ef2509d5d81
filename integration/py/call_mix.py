"""Clients that make calls of every kind, in an order of their own, and check each answer.

usage: call_mix.py --lib pyro4|pyro5 --location HOST:PORT --run NAME --clients N --rounds N [--single]

--single is for daemons that serve one request at a time, and would wait for themselves in nested
calls. Ends with one line of JSON: {"made": {kind: number}, "failed": ["kind: exception", ...],
"once": [ids of calls that must have run once]}.
"""

import argparse
import json
import random
import threading

import pyrolib

# What a method of the daemon raises, and whether the daemon closes the connection behind it in a
# way that the client does not notice by itself: then its next call fails, with a dispatcher or
# without.
RAISED = {
    "value": ("ValueError", False), "key": ("KeyError", False), "zero": ("ZeroDivisionError", False),
    "serialize": ("SerializeError", False), "communication": ("ConnectionClosedError", False),
    "security": ("SecurityError", True),
}


def check(condition):
    if not condition:
        raise AssertionError("not the answer to this call")


class Client:
    def __init__(self, lib, location, name, rounds):
        self.lib, self.location, self.name, self.rounds = lib, location, name, rounds
        self.random = random.Random(name)
        self.ids = 0
        self.made, self.failed, self.once = {}, [], []

    def new_id(self):
        self.ids += 1
        return "%s/%d" % (self.name, self.ids)

    def run(self, kinds):
        self.proxy = self.lib.Proxy("PYRO:lab.worker@" + self.location)  # it belongs to this thread
        for _ in range(self.rounds):
            kind = self.random.choice(kinds)
            try:
                getattr(self, kind)()
                self.made[kind] = self.made.get(kind, 0) + 1
            except Exception as x:
                self.failed.append("%s: %s: %s" % (kind, type(x).__name__, x))
                self.proxy._pyroRelease()
        self.proxy._pyroRelease()

    def echo(self):
        value = [self.new_id(), self.random.random()]
        check(self.proxy.echo(value) == value)

    def large(self):
        value = self.new_id() + "x" * 300_000
        check(self.proxy.echo(value) == value)

    def record(self):
        call_id = self.new_id()
        check(self.proxy.record(call_id) == 1)
        self.once.append(call_id)

    def oneways(self):
        ids = [self.new_id() for _ in range(self.random.randint(1, 5))]
        for call_id in ids:
            self.proxy.record_oneway(call_id)
        self.once += ids

    def batch(self):
        ids = [self.new_id() for _ in range(5)]
        calls = self.lib.batch(self.proxy)
        for call_id in ids:
            calls.record(call_id)
        check(list(calls()) == [1] * 5)
        self.once += ids

    def oneway_batch(self):
        ids = [self.new_id() for _ in range(5)]
        calls = self.lib.batch(self.proxy)
        for call_id in ids:
            calls.record(call_id)
        calls(oneway=True)
        self.once += ids

    def stream(self):
        check(list(self.proxy.count(10)) == list(range(10)))

    def stream_with_calls(self):
        seen = []
        for item in self.proxy.count(6):
            seen.append(item)
            self.echo()
        check(seen == list(range(6)))

    def stream_left(self):
        items = self.proxy.count(1000)
        check([next(items) for _ in range(3)] == [0, 1, 2])
        items.close()

    def fail(self):
        kind = self.random.choice(list(RAISED))
        name, closes = RAISED[kind]
        try:
            self.proxy.fail(kind)
        except Exception as x:
            if type(x).__name__ != name:
                raise
        if closes:
            self.proxy._pyroRelease()

    def annotated(self):
        self.lib.context.annotations = {"XMIX": self.name.encode()}
        try:
            check(self.proxy.request_annotations()["XMIX"][0] == len(self.name))
        finally:
            self.lib.context.annotations = {}

    def give_up(self):
        """A call that takes longer than its client waits: its answer must not reach anybody."""
        self.proxy._pyroTimeout = 0.1
        try:
            self.proxy.sleep(1)
        except self.lib.errors.TimeoutError:
            pass
        finally:
            self.proxy._pyroTimeout = None

    def nested(self):
        with self.lib.Proxy("PYRO:other.worker@" + self.location) as other:
            value = self.new_id()
            check(self.proxy.call_proxy(other, value) == value)

    def reconnect(self):
        self.proxy._pyroReconnect()

    def leave(self):
        self.proxy._pyroRelease()


# The more often a kind is here, the more often it is made.
KINDS = ["echo"] * 4 + ["record"] * 4 + ["oneways", "fail"] * 2 + [
    "large", "batch", "oneway_batch", "stream", "stream_with_calls", "stream_left", "annotated", "reconnect", "leave"]
THREADS_NEEDED = ["nested", "give_up"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--single", action="store_true")
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    # As fast as can be: Nagle's algorithm would keep a call behind a oneway call for 40 ms.
    lib.config.SOCK_NODELAY = True

    kinds = KINDS + ([] if args.single else THREADS_NEEDED)
    clients = [Client(lib, args.location, "%s/%d" % (args.run, i), args.rounds) for i in range(args.clients)]
    threads = [threading.Thread(target=client.run, args=(kinds,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = {kind: sum(client.made.get(kind, 0) for client in clients) for kind in dict.fromkeys(kinds)}
    print(json.dumps({"made": made, "failed": sum((client.failed for client in clients), []),
                      "once": sum((client.once for client in clients), [])}), flush=True)


if __name__ == "__main__":
    main()
