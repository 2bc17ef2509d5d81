"""make demo: real Pyro daemons, the dispatcher in front of them, and clients
that cannot tell.

usage: demo.py DISPATCHER [--once]
"""
import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
DAEMONS = [("alpha", "pyro5"), ("beta", "pyro5"), ("gamma", "pyro5"), ("delta", "pyro4")]


def say(text=""):
    print(text, flush=True)


def start_daemon(stack, name, library):
    """Starts a daemon that ends with us, and returns its address."""
    process = stack.enter_context(subprocess.Popen(
        [sys.executable, str(HERE / "daemon.py"), name, library],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    stack.callback(process.terminate)
    port = process.stdout.readline().strip()
    if not port:
        raise SystemExit("demo: daemon %s did not start" % name)
    say("  %-6s a %s daemon on 127.0.0.1:%s" % (name, library.capitalize(), port))
    return "127.0.0.1:" + port


def free_address(port):
    """The address to listen on: the port that the README names, if it is free."""
    for candidate in (port, 0):
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", candidate))
                return "127.0.0.1:%d" % probe.getsockname()[1]
    raise SystemExit("demo: no free port")


def wait_for(address, process):
    host, port = address.split(":")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.05)
    raise SystemExit("demo: the dispatcher did not start")


def run_clients(library, address, count):
    return subprocess.run([sys.executable, str(HERE / "client.py"), library, address, str(count)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the children are ended
    dispatcher, once = sys.argv[1], "--once" in sys.argv
    with contextlib.ExitStack() as stack:
        say("1. Four Pyro daemons, each with an object of the id lab.thermometer:")
        backends = [start_daemon(stack, *daemon) for daemon in DAEMONS]

        listen, admin = free_address(9999), free_address(9990)
        command = [dispatcher, "run", "--listen", listen, "--admin", admin,
                   "--log-level", "warn", "--log-format", "console"]
        for backend in backends:
            command += ["--backend", backend]
        say("\n2. One dispatcher for all of them:\n  " + " ".join(command))
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        wait_for(listen, process)

        say("\n3. Six Pyro5 clients of %s, and two Pyro4 clients on the same port:" % listen)
        answers = run_clients("pyro5", listen, 6) + run_clients("pyro4", listen, 2)
        say(answers.rstrip())
        answered = {name for name, _ in DAEMONS if "says %s" % name in answers}
        if len(answered) < len(DAEMONS):
            raise SystemExit("demo: expected an answer of every daemon, got %s" % sorted(answered))
        say("  Every daemon has answered, and each client only in its own library's protocol.")
        if once:
            return
        say("\n4. It stays up; end it with Ctrl-C. Try, in another terminal:")
        host, port = listen.split(":")
        for command, effect in (
                (".venv/bin/python demo/client.py pyro5 " + listen, "another round of clients"),
                ("curl http://%s/metrics" % admin, "what the dispatcher counts"),
                ("nc %s %s | od -c -N 6" % (host, port), "silence is answered after ten seconds: PYRO and a version"),
                ("echo hello | nc %s %s | od -c -N 6" % (host, port), "what is no hello is refused, as Pyro does")):
            say("  %-56s %s" % (command, effect))
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
        say()


if __name__ == "__main__":
    main()
