"""A daemon whose ledger survives it: it writes down every call before it answers.

usage: ledger_daemon.py --lib pyro4|pyro5 --port PORT --ledger FILE [--threadpool-size N]

Prints one line when it is ready, and leaves when its stdin closes.
"""

import argparse
import os
import sys
import threading

import pyrolib


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--threadpool-size", type=int, default=80)
    args = parser.parse_args()

    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    lib = pyrolib.load(args.lib)
    lib.config.THREADPOOL_SIZE = args.threadpool_size
    lib.config.THREADPOOL_SIZE_MIN = 4
    # Appended in one write each, so that a daemon killed at any moment has written whole lines.
    ledger = os.open(args.ledger, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    class Worker:
        @lib.expose
        def run(self, call_id):
            os.write(ledger, (call_id + "\n").encode())
            return call_id

    daemon = lib.Daemon(host="127.0.0.1", port=args.port)
    daemon.register(Worker(), "lab.ledger")
    print("ready", flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
