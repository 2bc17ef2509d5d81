"""Clients that call for as long as they are let, and write down what became of each call.

usage: caller.py --lib pyro4|pyro5 --location HOST:PORT --name NAME --clients N

Each client has one connected proxy and calls run(id) on lab.ledger, every id once. When stdin
closes, no new calls are made; the process ends when all are over, with one line of JSON:
{"answered": [ids], "failed": [[id, exception class], ...]}.
"""

import argparse
import json
import sys
import threading

import pyrolib


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--clients", type=int, required=True)
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)

    stop = threading.Event()
    lock = threading.Lock()
    answered, failed = [], []

    def client(number):
        proxy = lib.Proxy("PYRO:lab.ledger@" + args.location)
        count = 0
        while not stop.is_set():
            call_id = "%s/%d/%d" % (args.name, number, count)
            count += 1
            try:
                if proxy.run(call_id) != call_id:
                    raise AssertionError("another call's answer")
                with lock:
                    answered.append(call_id)
            except Exception as x:
                with lock:
                    failed.append([call_id, type(x).__module__ + "." + type(x).__name__])

    threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(args.clients)]
    for thread in threads:
        thread.start()
    print("calling", flush=True)
    sys.stdin.buffer.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"answered": answered, "failed": failed}), flush=True)


if __name__ == "__main__":
    main()
