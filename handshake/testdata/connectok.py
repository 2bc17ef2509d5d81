#!/usr/bin/env python
"""Writes the golden corpora of CONNECTOK payloads, connectok/<format>/<origin>.jsonl: what daemons of real Pyro4 and Pyro5 answer.

    python connectok.py [DIRECTORY]

Run it with every Python whose payloads are wanted, 2.7 and 3.6 or later, that can import one of the two. It starts itself anew for
each of several hash seeds, on which the order of the names depends. The committed files come from the same versions as generate.py's.

One line is one payload: {"name", "payload" in base64, "compressed", "group"}. Payloads of one group, whatever their format, hold the
same strings the same number of times; those of two groups do not.
"""
from __future__ import print_function

import base64
import collections
import importlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys

VERSION = "py%d%d" % sys.version_info[:2]
SEEDS = [1, 2, 3]

METHODS = ["expose", "focus", "grab", "grab_many", "home", "move", "reset", "start", "status", "stop", "temperature", "zoom"]
ONEWAY = ["reset", "stop"]
ATTRS = ["exposure", "serial"]


class Case(object):
    """An object that offers some names, and the daemon's reply to the handshake."""

    def __init__(self, methods=METHODS, oneway=ONEWAY, attrs=ATTRS, reply="hello", metadata=True):
        self.methods, self.oneway, self.attrs, self.reply, self.metadata = methods, oneway, attrs, reply, metadata


def instead(names, old, new):
    return [new if name == old else name for name in names]


# The group and its cases, one of them for each seed; the last for all the rest.
GROUPS = [
    ("base", [Case()]),
    ("renamed", [Case(methods=instead(METHODS, "grab", "capture"))]),
    ("anagram", [Case(methods=instead(METHODS, "home", "ohme"))]),
    ("swapped-letters", [Case(methods=instead(instead(METHODS, "home", "hove"), "move", "mome"))]),
    ("added", [Case(methods=METHODS + ["park"])]),
    ("removed", [Case(methods=METHODS[1:])]),
    ("oneway", [Case(oneway=ONEWAY + ["home"])]),
    ("other-oneway", [Case(oneway=["home", "stop"])]),
    ("attribute", [Case(attrs=ATTRS + ["gain"])]),
    ("no-attributes", [Case(attrs=[])]),
    ("reply", [Case(reply="hello again")]),
    ("counter", [Case(reply={"version": "1.2", "clients": n, "load": n / 7.0, "busy": n == 1}) for n in SEEDS]),
    ("bare", [Case(metadata=False)]),
    ("bare-none", [Case(metadata=False, reply=None)]),
]


def published(api, case):
    members = {"__module__": "__main__"}
    for name in case.methods:
        def method(self):
            pass
        members[name] = api.oneway(method) if name in case.oneway else method
    for name in case.attrs:
        members[name] = property(lambda self: 1)
    return api.expose(type("Camera", (object,), members))()


def pyro4_answers(api, case, compressed):
    from Pyro4 import config, message, socketutil, util

    config.SERIALIZERS_ACCEPTED = set(util._serializers)
    config.COMPRESSION = compressed
    with api.Daemon() as daemon:
        daemon.validateHandshake = lambda conn, data: case.reply
        uri = daemon.register(published(api, case), "lab.camera-1")
        for name, serializer in sorted(util._serializers.items()):
            protocols = sorted({2, pickle.HIGHEST_PROTOCOL}) if name in ("pickle", "dill", "cloudpickle") else [2]
            for protocol in protocols:
                config.PICKLE_PROTOCOL_VERSION = config.DILL_PROTOCOL_VERSION = protocol  # the others ignore it
                ours, theirs = map(socketutil.SocketConnection, socket.socketpair())
                flags = message.FLAGS_META_ON_CONNECT if case.metadata else 0
                hello = serializer.dumps({"handshake": "hello", "object": uri.object})
                ours.send(message.Message(message.MSG_CONNECT, hello, serializer.serializer_id, flags, 1).to_bytes())
                if not daemon._handshake(theirs):
                    raise AssertionError("the daemon refused")
                answer = message.Message.recv(ours, [message.MSG_CONNECTOK])
                ours.close(), theirs.close()
                yield name, name + str(protocol) * (len(protocols) > 1), bytes(answer.data), bool(answer.flags & message.FLAGS_COMPRESSED)


def pyro5_answers(api, case, compressed):
    from Pyro5 import protocol, serializers, socketutil

    if compressed or not case.metadata:
        return  # Pyro5 does neither
    with api.Daemon() as daemon:
        daemon.validateHandshake = lambda conn, data: case.reply
        uri = daemon.register(published(api, case), "lab.camera-1")
        for name, serializer in sorted(serializers.serializers.items()):
            ours, theirs = map(socketutil.SocketConnection, socket.socketpair())
            hello = serializer.dumps({"handshake": "hello", "object": uri.object})
            ours.send(protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, serializer.serializer_id, hello).data)
            if not daemon._handshake(theirs):
                raise AssertionError("the daemon refused")
            answer = protocol.recv_stub(ours, [protocol.MSG_CONNECTOK])
            ours.close(), theirs.close()
            yield name, name, bytes(answer.data), False


LIBRARIES = {"pyro4": ("Pyro4", pyro4_answers), "pyro5": ("Pyro5.api", pyro5_answers)}


def write_seed(library, seed):
    """Prints the payloads of one library with this process's hash seed, each after its format."""
    module, answers = LIBRARIES[library]
    api = importlib.import_module(module)
    for group, cases in GROUPS:
        if seed == SEEDS[2] and len(cases) == 1 and group != "base":
            continue  # two orders will do
        case = cases[min(seed - 1, len(cases) - 1)]
        for compressed in (False, True):
            if compressed and group not in ("base", "anagram"):
                continue
            for fmt, name, payload, deflated in answers(api, case, compressed):
                r = collections.OrderedDict([("name", "%s/%s/%d" % (name, group, seed))])
                r["payload"] = base64.b64encode(payload).decode("ascii")
                if deflated:
                    r["name"] += "/zlib"
                    r["compressed"] = True
                r["group"] = group
                print(fmt, json.dumps(r))


def main():
    if len(sys.argv) == 4:
        write_seed(sys.argv[2], int(sys.argv[3]))
        return
    target = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "connectok")
    for library, (module, _) in sorted(LIBRARIES.items()):
        try:
            importlib.import_module(module)
        except ImportError:
            continue
        lines = collections.defaultdict(list)
        for seed in SEEDS:
            # Python 2 has a seed only if told to (-R).
            flags = ["-R"] if sys.version_info[0] == 2 else []
            out = subprocess.check_output(
                [sys.executable] + flags + [os.path.abspath(__file__), target, library, str(seed)], env=dict(os.environ, PYTHONHASHSEED=str(seed))
            )
            for line in out.decode("ascii").splitlines():
                fmt, record = line.split(" ", 1)
                lines[fmt].append(record)
        for fmt, records in sorted(lines.items()):
            directory = os.path.join(target, fmt)
            if not os.path.isdir(directory):
                os.makedirs(directory)
            path = os.path.join(directory, library + "-" + VERSION + ".jsonl")
            with io.open(path, "w", encoding="ascii", newline="\n") as f:
                f.write("\n".join(records) + u"\n")
            print(path, len(records))


if __name__ == "__main__":
    main()
