"""A real Pyro client that runs scenarios against a daemon, direct or through a dispatcher,
and prints one line of JSON for each: a result without addresses, times or random ids."""

import argparse
import gc
import json
import sys
import time
import traceback
import uuid

import frames
import pyrolib
import scenario

import cases_calls  # noqa: F401 (registers its scenarios)
import cases_connection  # noqa: F401
import cases_payload  # noqa: F401


def run(function, lib, args):
    gc.collect()
    with scenario.Session(lib, args.location, uuid.uuid4().hex, args.hmac) as session:
        session.frames = []
        frames.recording.session = session
        line = {}
        try:
            line["result"] = session.normal.value(function(session))
        except Exception:
            line["unexpected"] = session.normal.text(traceback.format_exc()[-390:])
        finally:
            frames.recording.session = None
        if session.frames:
            line["frames"] = session.frames
        return line


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lib", choices=["pyro4", "pyro5"], required=True)
    parser.add_argument("--serializer", default="serpent")
    parser.add_argument("--location", required=True, help="host:port or ./u:path, as in a URI")
    parser.add_argument("--suite", default="main", help="comma separated")
    parser.add_argument("--skip", default="", help="scenarios not to run, comma separated")
    parser.add_argument("--compress", action="store_true")
    parser.add_argument("--hmac")
    parser.add_argument("--timing", action="store_true", help="tell on stderr how long each scenario took")
    parser.add_argument("name", nargs="*", help="run only these scenarios")
    args = parser.parse_args()

    lib = pyrolib.load(args.lib)
    lib.accept(lib.serializers)
    lib.config.SERIALIZER = args.serializer
    lib.config.COMPRESSION = args.compress
    lib.config.POLLTIMEOUT = 0.2
    frames.install(lib)
    # Stream iterators that sit in a cycle close their stream when they are collected, and that
    # is a call: it must happen between scenarios only. (serpent calls gc.enable, so gc.disable
    # would not last.)
    gc.set_threshold(0)

    suites, skip = set(args.suite.split(",")), args.skip.split(",")
    for name, (member_of, function) in scenario.ALL.items():
        if name not in skip and (name in args.name if args.name else suites.intersection(member_of)):
            began = time.monotonic()
            line = run(function, lib, args)
            print(json.dumps({"scenario": name, **line}), flush=True)
            if args.timing:
                print("%-32s %.3f s" % (name, time.monotonic() - began), file=sys.stderr)


if __name__ == "__main__":
    main()
