"""A real Pyro daemon with objects that make every kind of call possible.

Prints one line of JSON with its location when it is ready, and leaves when its stdin closes,
so that it cannot outlive the test that started it.
"""

import argparse
import json
import os
import sys
import threading

import objects
import pyrolib


def make_daemon(lib, **where):
    class TestDaemon(lib.Daemon):
        def annotations(self):
            return {"DMON": b"daemon"}

        def validateHandshake(self, conn, data):
            """Refuses when told to, and otherwise answers with what it was given."""
            if isinstance(data, dict):
                if "refuse" in data:
                    raise ValueError(data["refuse"])
                if "answer" in data:
                    return data["answer"]
            return "hello" if data == "hello" else ["got", data]

    return TestDaemon(**where)


def leave_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--name", default="daemon", help="what whoami answers")
    parser.add_argument("--servertype", choices=["thread", "multiplex"], default="thread")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unixsocket")
    parser.add_argument("--commtimeout", type=float, default=0.0)
    parser.add_argument("--serializers", help="comma separated; default: all that the library knows")
    parser.add_argument("--threadpool-size", type=int, default=40)
    parser.add_argument("--inline-oneway", action="store_true", help="run oneway calls in order, not in threads of their own")
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--hmac", help="the key (Pyro4)")
    args = parser.parse_args()

    threading.Thread(target=leave_with_stdin, daemon=True).start()
    lib = pyrolib.load(args.lib)
    lib.config.SERVERTYPE = args.servertype
    lib.config.COMMTIMEOUT = args.commtimeout
    lib.config.COMPRESSION = args.compress
    lib.config.POLLTIMEOUT = 0.2
    if args.inline_oneway:
        lib.inline_oneway()
    lib.config.THREADPOOL_SIZE = args.threadpool_size
    lib.config.THREADPOOL_SIZE_MIN = 4
    lib.accept(args.serializers.split(",") if args.serializers else lib.serializers)

    where = {"unixsocket": args.unixsocket} if args.unixsocket else {"host": args.host, "port": args.port}
    daemon = make_daemon(lib, **where)
    if args.hmac:
        daemon._pyroHmacKey = args.hmac
    for object_id, thing in objects.make_objects(lib, args.name).items():
        daemon.register(thing, object_id)
    print(json.dumps({"location": daemon.locationStr, "pid": os.getpid()}), flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
