"""A Pyro program that is client and daemon at once, knows others by a name server, and has what
it knows of itself travel in payloads. A test steers it: it reads commands as lines of JSON and
answers each with one, in order.

usage: peer.py --lib pyro4|pyro5 --ns HOST:PORT [--name NAME] [--bind HOST] [--port PORT] [--key KEY]

    {"id": 1, "op": "register", "args": ["name"]}              its object, at the name server
    {"id": 2, "op": "lookup", "args": ["name"]}, "list", "remove"
    {"id": 3, "op": "call", "args": [uri, "method", ...]}      also PYRONAME: and PYROMETA:
    {"id": 4, "op": "stream", "args": [uri, "method", ...]}
    {"id": 5, "op": "callback", "args": [uri]}                 of its own object, by a proxy for that
    {"id": 6, "op": "itself", "args": [uri]}                   a proxy from a reply, and who that is
    {"id": 7, "op": "locate"}                                  by broadcast
    {"id": 8, "op": "datagram", "args": [host, port]}          the question of a broadcast, to one
    {"id": 9, "op": "uri"}                                     of its own object
    {"id": 10, "op": "listen", "args": [uri, "topic"]}         at a registry of topics
    {"id": 11, "op": "send", "args": [uri, "topic", text]}     a blob
    {"id": 12, "op": "got"}                                    the blobs that its object got

With --key, which only Pyro4 has, all messages are signed, its own and those that it accepts.

Of a URI whose location is missing, the name server is that of --ns.
"""

import argparse
import contextlib
import importlib
import json
import os
import socket
import sys
import threading
import time

import pyrolib

ARRAY_TYPES = (list, tuple, set, frozenset)


def make_peer(lib, name, resolve, got):
    class Peer:
        @lib.expose
        def process_blob(self, blob):
            got.append([blob.info, blob.deserialized()])

        @lib.expose
        def nap(self, seconds):
            time.sleep(seconds)

        @lib.expose
        def whoami(self):
            return name

        @lib.expose
        def echo(self, value):
            return value

        @lib.expose
        def call_back(self, proxy):
            """Calls an object of the caller's."""
            with proxy:
                return [name, proxy.whoami(), str(proxy._pyroUri)]

        @lib.expose
        def ask(self, uri):
            """Calls an object that it knows itself."""
            with lib.Proxy(resolve(uri)) as proxy:
                return [name, proxy.whoami(), str(proxy._pyroUri)]

        @lib.expose
        def itself(self):
            return self

    return Peer()


class Commands:
    def __init__(self, lib, args, daemon, thing, blobs):
        self.lib, self.args, self.daemon, self.thing, self.blobs = lib, args, daemon, thing, blobs
        self.ns_host, _, port = args.ns.rpartition(":")
        self.ns_host, self.ns_port = self.ns_host.strip("[]"), int(port)

    def ns(self):
        locate = getattr(self.lib.root, "locateNS", None) or self.lib.root.locate_ns
        key = {"hmac_key": self.args.key} if self.args.key else {}
        return locate(self.ns_host, self.ns_port, **key)

    def resolve(self, uri):
        if "@" not in uri and not uri.startswith("PYRO:"):
            uri += "@" + self.args.ns
        return uri

    def proxy(self, uri):
        proxy = self.lib.Proxy(self.resolve(uri))
        if self.args.key:
            proxy._pyroHmacKey = self.args.key
        return proxy

    def register(self, name, metadata=None):
        with self.ns() as ns:
            ns.register(name, self.daemon.uriFor(self.thing), metadata=metadata)

    def lookup(self, name):
        with self.ns() as ns:
            return str(ns.lookup(name))

    def list(self, **how):
        with self.ns() as ns:
            return ns.list(**how)

    def remove(self, name):
        with self.ns() as ns:
            return ns.remove(name)

    def call(self, uri, method, *args):
        with self.proxy(uri) as proxy:
            return getattr(proxy, method)(*args)

    def stream(self, uri, method, *args):
        with self.proxy(uri) as proxy:
            return list(getattr(proxy, method)(*args))

    def callback(self, uri):
        with self.proxy(uri) as proxy:
            return proxy.call_back(self.thing)

    def itself(self, uri):
        with self.proxy(uri) as proxy, proxy.itself() as other:
            return [str(other._pyroUri), other.whoami()]

    def locate(self):
        locate = getattr(self.lib.root, "locateNS", None) or self.lib.root.locate_ns
        with locate() as ns:
            ns.ping()
            return str(ns._pyroUri)

    def datagram(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as s:
            s.settimeout(2)
            for attempt in range(5):
                s.sendto(b"GET_NSURI", (host, port))
                with contextlib.suppress(socket.timeout):
                    return s.recv(1000).decode("iso-8859-1")
        raise TimeoutError("no answer")

    def listen(self, uri, topic):
        with self.proxy(uri) as registry:
            registry.register(topic, self.lib.Proxy(self.daemon.uriFor(self.thing)))

    def send(self, uri, topic, text):
        with self.proxy(uri) as registry:
            return registry.process_blob(self.lib.SerializedBlob(topic, text))

    def got(self):
        return self.blobs

    def uri(self):
        return str(self.daemon.uriFor(self.thing))


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, ARRAY_TYPES):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--ns", default="127.0.0.1:9090")
    parser.add_argument("--name", default="peer")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--object", default=None)
    parser.add_argument("--key", default=None)
    parser.add_argument("--timeout", type=float, default=20)  # longer than anything takes, and shorter than the test waits
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    lib.config.COMMTIMEOUT = args.timeout
    if ":" in args.bind:
        lib.config.PREFER_IP_VERSION = 6
    if args.lib == "pyro4":
        importlib.import_module("Pyro4.naming")

    daemon = lib.Daemon(host=args.bind, port=args.port)
    if args.key:
        daemon._pyroHmacKey = args.key = args.key.encode()
    commands, blobs = None, []
    thing = make_peer(lib, args.name, lambda uri: commands.resolve(uri), blobs)
    daemon.register(thing, args.object)
    commands = Commands(lib, args, daemon, thing, blobs)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        answer = {"id": command["id"]}
        try:
            answer["value"] = plain(getattr(commands, command["op"])(*command.get("args", ())))
        except Exception as x:
            answer["exception"] = type(x).__module__ + "." + type(x).__qualname__
            answer["message"] = str(x)
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
