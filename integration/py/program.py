"""Runs a program as "python SCRIPT ARGUMENT..." or "python -m MODULE ARGUMENT..." in a directory
would, with lines of stdin for its input(), and leaves when stdin closes, so that a server cannot
outlive its test.

usage: program.py DIRECTORY SCRIPT.py|MODULE ARGUMENT...

Where the program ends by itself, the last line on stdout is JSON, as example.py has it: {"ended":
{"seconds": ..., "exception": class or "", "text": ...}}.
"""

import json
import os
import runpy
import sys
import threading
import time
import traceback


def pass_stdin_on():
    """Gives the program a stdin of its own, so that it is seen here when ours closes, whether or
    not the program reads."""
    ours = os.dup(0)
    theirs, into = os.pipe()
    os.dup2(theirs, 0)
    os.close(theirs)

    def pump():
        while True:
            data = os.read(ours, 65536)
            if not data:
                os._exit(0)
            os.write(into, data)

    threading.Thread(target=pump, daemon=True).start()


def main():
    directory, program = sys.argv[1:3]
    sys.argv = sys.argv[2:]
    os.chdir(directory)
    sys.path[0] = os.getcwd()
    pass_stdin_on()

    ended = {"exception": "", "text": ""}
    began = time.monotonic()
    try:
        if program.endswith(".py"):
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except Exception as x:
        ended = {"exception": type(x).__module__ + "." + type(x).__name__, "text": str(x)}
        traceback.print_exc()
    except SystemExit:
        pass
    ended["seconds"] = time.monotonic() - began
    print("\n" + json.dumps({"ended": ended}), flush=True)  # a prompt of input() may be before it
    os._exit(0)  # whatever threads the program has left behind


if __name__ == "__main__":
    main()
