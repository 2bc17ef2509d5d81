"""A Pyro client that a test steers: it reads commands as lines of JSON and answers each with
one, by its id. Every proxy has a thread of its own, so calls on different proxies overlap.

    {"id": 1, "proxy": "a", "op": "open", "location": "127.0.0.1:4444", "object": "lab.worker"}
    {"id": 2, "proxy": "a", "op": "call", "method": "add", "args": [1, 2]}
    {"id": 3, "proxy": "a", "op": "record", "prefix": "run/7/", "count": 20}
    {"id": 4, "proxy": "a", "op": "bind"}, "release"
    {"id": 4, "proxy": "a", "op": "connected"}     whether the proxy believes that it is
    {"id": 4, "proxy": "a", "op": "correlate"}     its calls bear a correlation id from now on
    {"id": 5, "proxy": "a", "op": "stream", "method": "count", "args": [10]}, then "next"
"""

import argparse
import json
import os
import queue
import sys
import threading
import uuid

import pyrolib

output = threading.Lock()


def answer(command, **fields):
    with output:
        print(json.dumps({"id": command["id"], **fields}, default=repr), flush=True)


def record(proxy, prefix, count):
    """Makes count calls with an id each, by turns with and without an answer. Returns how many
    of the answered ones had run once."""
    once = 0
    for i in range(count):
        call_id = "%s%d" % (prefix, i)
        if i % 4 == 3:
            proxy.record_oneway(call_id)
        elif proxy.record(call_id) == 1:
            once += 1
    return once


def serve(lib, commands):
    """Runs the commands of one proxy, in order."""
    proxy = stream = None
    for command in iter(commands.get, None):
        try:
            op, value = command["op"], None
            if op == "open":
                proxy = lib.Proxy("PYRO:%s@%s" % (command.get("object", "lab.worker"), command["location"]))
            elif op == "call":
                value = getattr(proxy, command["method"])(*command.get("args", ()))
            elif op == "stream":
                stream = getattr(proxy, command["method"])(*command.get("args", ()))
            elif op == "next":
                value = next(stream)
            elif op == "bind":
                value = proxy._pyroBind()
            elif op == "release":
                proxy._pyroRelease()
            elif op == "connected":
                value = proxy._pyroConnection is not None
            elif op == "correlate":
                lib.context.correlation_id = uuid.uuid4()
            elif op == "record":
                value = record(proxy, command["prefix"], command["count"])
            answer(command, value=value)
        except Exception as x:
            answer(command, exception=type(x).__module__ + "." + type(x).__qualname__, message=str(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--serializer", default="serpent")
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    lib.accept(lib.serializers)
    lib.config.SERIALIZER = args.serializer

    proxies = {}
    for line in sys.stdin:
        command = json.loads(line)
        if command["proxy"] not in proxies:
            proxies[command["proxy"]] = commands = queue.Queue()
            threading.Thread(target=serve, args=(lib, commands), daemon=True).start()
        proxies[command["proxy"]].put(command)
    os._exit(0)


if __name__ == "__main__":
    main()
