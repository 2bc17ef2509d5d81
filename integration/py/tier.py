"""A daemon whose one object calls on to the next tier's, by way of a dispatcher.

Prints its location as a line of JSON and leaves when its stdin closes.
"""

import argparse
import json
import os
import sys
import threading
import time

import pyrolib


def make_tier(lib, name, following):
    class Tier(object):
        def __init__(self):
            self.kept = None
            self.heard = []

        @lib.expose
        def go(self, calls, location):
            """Calls the next tier, and that the one behind it, as many times as it is told.
            Returns the names of those that were called."""
            if calls == 0:
                return [name]
            with lib.Proxy("PYRO:%s@%s" % (following, location)) as proxy:
                return [name] + list(proxy.go(calls - 1, location))

        @lib.expose
        def go_on(self, calls, location):
            """The same with a connection that is kept, for one call at a time."""
            if calls == 0:
                return [name]
            if self.kept is None:
                self.kept = lib.Proxy("PYRO:%s@%s" % (following, location))
            elif lib.name == "pyro5":
                self.kept._pyroClaimOwnership()
            began = time.monotonic()
            try:
                return [name] + list(self.kept.go_on(calls - 1, location))
            except Exception as x:
                self.heard.append({
                    "class": type(x).__module__ + "." + type(x).__name__, "text": str(x),
                    "seconds": time.monotonic() - began, "correlation": str(lib.context.correlation_id)})
                raise

        @lib.expose
        def failures(self):
            """What its calls to the next tier have failed with."""
            return self.heard

        @lib.expose
        def hang_up(self):
            """Gives up the connection that was kept."""
            if self.kept is not None:
                if lib.name == "pyro5":
                    self.kept._pyroClaimOwnership()
                self.kept._pyroRelease()

        @lib.expose
        def nap(self, seconds):
            time.sleep(seconds)
            return seconds

    return Tier()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--servertype", choices=["thread", "multiplex"], default="thread")
    parser.add_argument("--name", required=True, help="the object's id")
    parser.add_argument("--next", default="", help="the id of the next tier's object")
    args = parser.parse_args()

    def leave_with_stdin():
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=leave_with_stdin, daemon=True).start()
    lib = pyrolib.load(args.lib)
    lib.config.SERVERTYPE = args.servertype
    lib.config.POLLTIMEOUT = 0.2
    lib.accept(lib.serializers)
    daemon = lib.Daemon(host="127.0.0.1")
    daemon.register(make_tier(lib, args.name, args.next), args.name)
    print(json.dumps({"location": daemon.locationStr}), flush=True)
    daemon.requestLoop()


if __name__ == "__main__":
    main()
