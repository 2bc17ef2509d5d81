"""make demo: real Pyro daemons, the dispatcher in front of them, and clients
that cannot tell.

usage: demo.py DISPATCHER [--once]
"""
import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
DAEMONS = [("alpha", "pyro5"), ("beta", "pyro5"), ("gamma", "pyro5"), ("delta", "pyro4")]
LISTENERS = [("recorder", ["temperature", "wind"]), ("alarm", ["temperature"])]
TOPICS = ["temperature", "wind", "rain"]  # of the blobs, in order
CONNECTED = 60  # clients at one time, while a daemon has four threads

CONFIG = """\
listeners: [{name: main, address: "%s"}]
name_server: {listeners: [{address: "%s", broadcast: false}]}
topics: example.blobdispatcher
admin: {address: "%s"}
log: {level: error, format: console}
routes:
  - cluster: thermometers
    mode: call             # every call finds its own daemon, on a shared connection
    idempotent: true       # reading a thermometer twice does no harm
clusters:
  - name: thermometers
    max_connections: 3     # to one daemon, which has four threads
    breaker: {open: 500ms}
    outlier: {ejection: 500ms}
    static: %s
"""


def say(text=""):
    print(text, flush=True)


class Daemons:
    """The daemons, by name. They end with us."""

    def __init__(self, stack):
        self.stack = stack
        self.running = {}
        self.ports = {}

    def start(self, name):
        process = self.stack.enter_context(subprocess.Popen(
            [sys.executable, str(HERE / "daemon.py"), name, dict(DAEMONS)[name], self.ports.get(name, "0")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.stack.callback(process.terminate)
        self.running[name] = process
        self.ports[name] = process.stdout.readline().strip()
        if not self.ports[name]:
            raise SystemExit("demo: daemon %s did not start" % name)

    def kill(self, name):
        self.running[name].kill()
        self.running[name].wait()


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


def client(*args):
    return subprocess.Popen([sys.executable, str(HERE / "client.py"), *map(str, args)],
                            stdout=subprocess.PIPE, text=True)


def run_clients(library, address, count):
    with client(library, address, count) as process:
        answers = process.stdout.read()
    if process.returncode:
        raise SystemExit("demo: the clients failed")
    return answers


def states(admin):
    """What the dispatcher says of its endpoints, as its operators can ask."""
    with urllib.request.urlopen("http://%s/api/clusters" % admin, timeout=10) as answer:
        clusters = {c["name"]: c for c in json.load(answer)}
    return {e["address"]: e["state"] for e in clusters["thermometers"]["endpoints"]}


def kill_one(daemons, listen, admin):
    with client("pyro5", listen, CONNECTED, 6) as process:
        process.stdout.readline()  # all are connected
        time.sleep(1)
        say("  killing beta")
        daemons.kill("beta")
        time.sleep(2)
        say("  beta is now: %s" % states(admin)["127.0.0.1:" + daemons.ports["beta"]])
        say("  starting beta again")
        daemons.start("beta")
        outcome = process.stdout.read()
    say(outcome.rstrip())
    if process.returncode or "  0 calls failed" not in outcome:
        raise SystemExit("demo: calls failed")


def names_and_topics(stack, names):
    """Two listeners find the dispatcher by name, and each gets what it listens to."""
    listeners = []
    for name, topics in LISTENERS:
        process = stack.enter_context(subprocess.Popen(
            [sys.executable, str(HERE / "listener.py"), name, names, *topics],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        stack.callback(process.terminate)
        say("  " + process.stdout.readline().rstrip())
        listeners.append(process)
    sent = subprocess.run([sys.executable, str(HERE / "sender.py"), names, *TOPICS],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    say(sent.stdout.rstrip())
    if sent.returncode:
        raise SystemExit("demo: the sender failed")
    for (name, topics), process in zip(LISTENERS, listeners):
        process.stdin.close()  # it ends; since the sender has its answers, it has its blobs
        heard = process.stdout.read().splitlines()
        say("".join("  %s\n" % line for line in heard).rstrip())
        expected = ["%s got %s: {'number': %d}" % (name, topic, number)
                    for number, topic in enumerate(TOPICS, 1) if topic in topics]
        if heard != expected:
            raise SystemExit("demo: %s did not get what it listens to" % name)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the children are ended
    dispatcher, once = sys.argv[1], "--once" in sys.argv
    with contextlib.ExitStack() as stack:
        daemons = Daemons(stack)
        say("1. Four Pyro daemons of four threads, each with an object of the id lab.thermometer:")
        for name, library in DAEMONS:
            daemons.start(name)
            say("  %-6s a %s daemon on 127.0.0.1:%s" % (name, library.capitalize(), daemons.ports[name]))

        listen, names, admin = free_address(9999), free_address(9090), free_address(9990)
        static = json.dumps(["127.0.0.1:" + daemons.ports[name] for name, _ in DAEMONS])
        config = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "pyro-dispatch.yaml"
        config.write_text(CONFIG % (listen, names, admin, static))
        say("\n2. One dispatcher for all of them: %s run --config pyro-dispatch.yaml, with" % dispatcher)
        say("".join("  | " + line for line in config.read_text().splitlines(True)))
        process = stack.enter_context(subprocess.Popen([dispatcher, "run", "--config", str(config)]))
        stack.callback(process.terminate)
        wait_for(listen, process)

        say("3. Nine Pyro5 clients of %s, and two Pyro4 clients on the same port:" % listen)
        answers = run_clients("pyro5", listen, 9) + run_clients("pyro4", listen, 2)
        say(answers.rstrip())
        if "says delta" in run_clients("pyro5", listen, 9):
            raise SystemExit("demo: a Pyro5 client was answered by a Pyro4 daemon")
        say("  Each client only meets daemons of its own library.")

        say("\n4. %d clients stay connected and call for six seconds, while a daemon dies:" % CONNECTED)
        kill_one(daemons, listen, admin)

        say("\n5. The dispatcher as name server, on %s, and as dispatcher of blobs." % names)
        say("   Two listeners register, and a sender that knows neither sends %s:" % ", ".join(TOPICS))
        names_and_topics(stack, names)
        if once:
            return
        say("\n6. It stays up; end it with Ctrl-C. Try, in another terminal:")
        host, port = listen.split(":")
        for command, effect in (
                (".venv/bin/python demo/client.py pyro5 %s 60 10" % listen, "another round of clients"),
                ("curl http://%s/api/clusters" % admin, "the endpoints, and how they are"),
                (".venv/bin/pyro5-nsc -n %s -p %s list" % tuple(names.split(":")), "the names, with addresses of ours"),
                ("curl http://%s/metrics" % admin, "what the dispatcher counts"),
                ("echo hello | nc %s %s | od -c -N 6" % (host, port), "what is no hello is refused, as Pyro does")):
            say("  %-58s %s" % (command, effect))
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
        say()


if __name__ == "__main__":
    main()
