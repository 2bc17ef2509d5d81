"""A listener that says what blobs it gets, or a client that sends one.

usage: bigblob.py --lib pyro4|pyro5 listen
       bigblob.py --lib pyro4|pyro5 send --location HOST:PORT --mib N

A listener prints its location, and for each blob a line with the length and the SHA-256 of
its text, until stdin closes. A client prints the same of what it has sent, when that was
processed.
"""

import argparse
import hashlib
import os
import sys
import threading

import pyrolib


def describe(data):
    return "%d %s" % (len(data), hashlib.sha256(data.encode()).hexdigest())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("role", choices=["listen", "send"])
    parser.add_argument("--location")
    parser.add_argument("--mib", type=int)
    args = parser.parse_args()
    lib = pyrolib.load(args.lib)
    lib.config.SERIALIZER = "marshal"  # the quickest in both

    if args.role == "send":
        data = os.urandom(1 << 19).hex() * args.mib
        with lib.Proxy("PYRO:big.dispatcher@" + args.location) as proxy:
            proxy.process_blob(lib.SerializedBlob("big", [data]))
            print("sent " + describe(data), flush=True)
        return

    class Listener:
        @lib.expose
        def process_blob(self, blob):
            (data,) = blob.deserialized()
            print("got " + describe(data), flush=True)

    with lib.Daemon() as daemon:
        uri = daemon.register(Listener(), "big.listener")
        print("location " + uri.location, flush=True)
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
        sys.stdin.buffer.read()
        daemon.shutdown()


main()
