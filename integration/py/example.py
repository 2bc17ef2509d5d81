"""Runs a script as "python SCRIPT" in its directory would, and leaves when stdin closes, so that
a server cannot outlive its test.

usage: example.py SCRIPT

Where the script ends by itself, the last line on stdout is JSON: {"ended": {"seconds": ...,
"exception": class or "", "text": ...}}. The seconds are the script's, without the start of
Python and the import of Pyro.
"""

import importlib
import json
import os
import runpy
import sys
import threading
import time
import traceback


def leave_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    script = os.path.abspath(sys.argv[1])
    os.chdir(os.path.dirname(script))
    sys.path[0] = os.path.dirname(script)
    sys.argv = [script]
    threading.Thread(target=leave_with_stdin, daemon=True).start()
    for library in ["Pyro4.naming", "Pyro5.api"]:
        importlib.import_module(library)

    ended = {"exception": "", "text": ""}
    began = time.monotonic()
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as x:
        ended = {"exception": type(x).__module__ + "." + type(x).__name__, "text": str(x)}
        traceback.print_exc()
    ended["seconds"] = time.monotonic() - began
    print(json.dumps({"ended": ended}), flush=True)
    os._exit(0)  # whatever threads the script has left behind


if __name__ == "__main__":
    main()
