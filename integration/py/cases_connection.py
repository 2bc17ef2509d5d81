"""Scenarios: handshakes, annotations, correlation ids, objects that travel, timeouts."""

import contextlib
import select
import threading
import time
import uuid

from pyrolib import CustomError
from scenario import expect, scenario

HANDSHAKES = [
    "hello", "", None, 0, True, 3.5, [1, 2, {"three": "3"}], (1, (2, 3)), "object", "gr\u00fc\u00df \u4f60\u597d \U0001f40d", b"\x00bytes\xff",
    {"object": "no.such.object"}, {"handshake": {"object": "no.such.object"}}, ["object", "no.such.object"],
    {"answer": {"session": 17, "rights": ["read", "write"]}}, {"answer": None}, {"answer": "x" * 100_000}, {"deep": [[[[[[[[]]]]]]]]},
    {"refuse": "not with this password"}, {"refuse": "gr\u00fc\u00df \u4f60\u597d"}, {"refuse": "r" * 100_000}, {"refuse": ""},
    "h" * 100_000, "'object': 'no.such.object'", '"object":"no.such.object"', {str(i): i for i in range(500)},
    {1, 2}, 1 << 70, uuid.UUID(int=9), CustomError("as a handshake", 1),
]


@scenario("main")
def handshakes(s):
    """What the daemon is given in the handshake and what it answers, accepted or refused."""

    def attempt(data):
        answers = []

        class Listening(s.lib.Proxy):
            def _pyroValidateHandshake(self, response):
                answers.append(response)

        p = s.proxy(kind=Listening)
        p._pyroHandshake = data
        outcome = s.outcome(p._pyroBind)
        return [repr(data)[:40], outcome, s.normal.value(answers), s.outcome(p.echo, 1) if answers else None]

    results = [attempt(data) for data in HANDSHAKES]
    expect(results[14][1] is True, "an answering handshake is accepted")
    expect("not with this password" in str(results[18][1]), "a refusal tells its reason")
    return results


@scenario("main")
def handshake_refused_by_client(s):
    class Refusing(s.lib.Proxy):
        def _pyroValidateHandshake(self, response):
            raise ValueError("I do not like " + response)

    p = s.proxy(kind=Refusing)
    return [s.outcome(p._pyroBind), s.outcome(s.proxy().echo, "others can")]


@scenario("main", "wire")
def annotations(s):
    """Annotations both ways: none, one, several, large, binary."""
    p = s.proxy()
    limit = 65000 if s.lib.name == "pyro4" else 500_000
    results = []
    for sent in [{}, {"XONE": b"1"}, {"X%03d" % i: bytes([i]) * i for i in range(50)}, {"XBIG": bytes(range(256)) * 200},
                 {"XNUL": b""}, {"XPYR": b"PYRO\x01\xf6" * 10}]:
        s.context.annotations = dict(sent)
        results.append([sorted(sent), s.outcome(p.request_annotations)])
        s.context.annotations = dict(sent)
        results.append([s.outcome(p.echo_annotations), received(s)])
    s.context.annotations = {}
    for count, size in [(1, 0), (1, 10), (60, 100), (1, limit - 1000), (20, (limit - 1000) // 20)]:
        results.append([s.outcome(p.annotate, count, size), received(s)])
    expect(len(results[-1][1]) >= 20, "all the annotations of a reply arrive")
    s.context.annotations = {"XCON": b"also with the CONNECT"}
    results.append([s.outcome(s.proxy().request_annotations), received(s)])
    return results


def received(s):
    hidden = ("CORR", "HMAC")
    return {k: s.normal.value(bytes(v)) for k, v in s.context.response_annotations.items() if k not in hidden}


@scenario("main", "wire")
def correlation_ids(s):
    p, results = s.proxy(), []
    for value in [uuid.UUID(int=1), uuid.UUID(int=(1 << 128) - 1), uuid.uuid4(), None]:
        s.context.correlation_id = value
        seen, seq, flags, serializer = p.context()
        results.append([seen == str(value), seq, flags, serializer, s.outcome(p.fail, "value")])
    expect([r[0] for r in results] == [True, True, True, False], "the method sees the caller's correlation id")
    s.context.correlation_id = uuid.uuid4()
    q = s.proxy()
    results.append([q.context()[0] == str(s.context.correlation_id), s.outcome(q._pyroReconnect)])
    s.context.correlation_id = None
    return results


@contextlib.contextmanager
def callback_daemon(s):
    """A daemon of the client's own, with an object for the server to call."""
    seen = []

    class Callback:
        @s.lib.expose
        def notify(self, i):
            seen.append(i)
            return i * 10

        @s.lib.expose
        @s.lib.oneway
        def notify_oneway(self, i):
            seen.append(i)

        @s.lib.expose
        def fail(self):
            raise ValueError("the callback fails")

    daemon = s.lib.Daemon(host="127.0.0.1")
    if s.hmac:
        daemon._pyroHmacKey = s.hmac
    target = Callback()
    daemon.register(target, "callback")
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        yield target, seen
    finally:
        daemon.shutdown()
        thread.join(20)
        daemon.close()


@scenario("main")
def callbacks(s):
    p = s.proxy()
    with callback_daemon(s) as (target, seen):
        results = [s.outcome(p.call_back, target, 3), s.outcome(p.call_back_failing, target), s.outcome(p.call_back_oneway, target, 4)]
        s.until(lambda: len(seen) == 7, "the server called back") if results[2] is None else None
        return results + [sorted(seen)]


@scenario("main")
def proxies_travel(s):
    """A proxy as an argument, and one that comes back for an object of the daemon."""
    p, other = s.proxy(), s.proxy("other.worker", handshake={"answer": 1})
    other._pyroBind()
    results = [s.outcome(p.describe_proxy, other)]

    def returned(make, method, *args):
        """Calls a proxy that came back (with marshal it is only a dict, or an error)."""
        proxy = make()
        if not isinstance(proxy, s.lib.Proxy):
            return proxy
        s.opened.append(proxy)
        return [str(proxy._pyroUri), getattr(proxy, method)(*args)]

    results.append(s.outcome(returned, lambda: p.echo(other), "echo", "through the returned proxy"))
    # A daemon that serves one request at a time waits for itself here for ever.
    if "Multiplex" not in s.quietly(s.proxy("Pyro.Daemon").info):
        results.append(s.outcome(p.call_proxy, s.proxy("other.worker"), "nested"))
    return results + [s.outcome(returned, p.helper, "hello", "world")]


@scenario("main")
def copies(s):
    import copy
    import pickle

    p = s.proxy()
    p.echo(1)
    clones = [copy.copy(p), pickle.loads(pickle.dumps(p))]
    s.opened += clones
    return [[clone == p, s.outcome(clone.echo, 2)] for clone in clones]


@scenario("main")
def tracked_resources(s):
    """A daemon closes a client's resources when the client's connection goes."""
    key, kept, side = s.new_id(), s.new_id(), s.proxy()
    p, q = s.proxy(), s.proxy()
    p.track(key), q.track(kept)
    results = [s.outcome(q.closed, key)]
    p._pyroRelease()
    s.until(lambda: side.closed(key) == 1, "the resource was closed")
    results += [s.outcome(q.closed, kept), s.outcome(q.untrack, kept)]
    q._pyroRelease()
    return results + [s.outcome(q.closed, kept)]


@scenario("main")
def reconnect(s):
    p = s.proxy()
    results = [s.outcome(p.echo, 1), s.outcome(p._pyroReconnect), s.outcome(p.echo, 2)]
    p._pyroRelease()
    results += [s.outcome(p.echo, 3), s.outcome(p._pyroReconnect, 1), s.outcome(p.echo, 4)]
    for _ in range(20):
        p._pyroReconnect()
    return results + [s.outcome(p.echo, 5), p._pyroSeq]


@scenario("slow")
def client_timeout(s):
    """A call takes longer than the proxy waits; the same proxy works afterwards."""
    p, threads = s.proxy(), "Threadpool" in s.proxy("Pyro.Daemon").info()
    key, side = s.new_id(), s.proxy()
    results = [s.outcome(p.echo, 1)]
    p._pyroTimeout = 0.5
    # A daemon that serves one request at a time could not be told to let a held call go.
    results.append(s.outcome(p.hold, key) if threads else s.outcome(p.sleep, 3))
    expect("TimeoutError" in str(results), "the call times out")
    if threads:
        p._pyroMaxRetries = 1  # the call runs again, and times out again
        results.append(s.outcome(lambda: p.hold(key)))
        side.let_go(key)
    p._pyroTimeout, p._pyroMaxRetries = None, 0
    return results + [s.outcome(p.echo, 2), s.outcome(p.sleep, 0.1), s.outcome(p.record, key)]


@scenario("slow")
def after_idling(s):
    """Connections work on after being idle for a while, in whatever state they are."""
    idle, streaming, tracking, leaving, side = [s.proxy() for _ in range(5)]
    key, call_id = s.new_id(), s.new_id()
    idle.echo(1), tracking.track(key), leaving.track(call_id)
    stream = streaming.count(5)
    next(stream)
    time.sleep(2.5)
    results = [s.outcome(idle.measure, "x" * 300_000), s.outcome(idle.echo, 2), s.outcome(lambda: list(stream))]
    s.lib.ping(idle) if not s.hmac else None
    idle.record_oneway(call_id)
    s.until(lambda: side.recorded(call_id).get(call_id) == 1, "the oneway call ran")
    leaving._pyroRelease()
    s.until(lambda: side.closed(call_id) == 1, "the daemon noticed who left")
    return results + [s.outcome(tracking.closed, key), s.outcome(idle.fail, "value"), s.outcome(idle._pyroReconnect)]


@scenario("slow")
def calls_at_any_moment(s):
    """Idle connections are called at many different moments after their last call."""
    proxies = [s.proxy() for _ in range(30)]
    for p in proxies:
        p.echo(0)
    time.sleep(0.9)
    results = []
    for p in proxies * 2:
        results.append(s.outcome(p.echo, len(results)))
        time.sleep(0.012)
    return results


def wait_closed(p, seconds):
    """Tells if the daemon closes the proxy's idle connection within some seconds."""
    sock = p._pyroConnection.sock
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([sock], [], [], 0.05)[0]:
            return "closed"
    return "open"


@scenario("commtimeout")
def idle_connection(s):
    """A thread daemon with COMMTIMEOUT closes an idle connection, a multiplex daemon does not."""
    p = s.proxy()
    results = [s.outcome(p.echo, 1), wait_closed(p, 10 if "Threadpool" in s.proxy("Pyro.Daemon").info() else 1)]
    results += [s.outcome(p.echo, 2), s.outcome(p.echo, 3)]
    return results


@scenario("commtimeout")
def idle_connection_with_retries(s):
    p = s.proxy()
    p.echo(1)
    results = [wait_closed(p, 10 if "Threadpool" in s.proxy("Pyro.Daemon").info() else 1)]
    p._pyroMaxRetries = 1
    results.append(s.outcome(lambda: p.echo(2)))
    p._pyroReconnect()
    return results + [s.outcome(p.echo, 3)]


@scenario("commtimeout")
def slow_call_outlasts_commtimeout(s):
    """COMMTIMEOUT does not end a running call."""
    p = s.proxy()
    return [s.outcome(p.sleep, 2), s.outcome(p.echo, 1)]


@scenario("hmac")
def keys(s):
    """The right key, a wrong one, none."""
    results = [s.outcome(s.proxy().echo, 1), s.outcome(s.proxy().fail, "value")]
    for key in ["wrong", None]:
        p = s.proxy()
        p._pyroHmacKey = key
        results += [s.outcome(p._pyroBind), s.outcome(s.proxy().echo, "others can")]
    # A key that changes under an open connection.
    p = s.proxy()
    p.echo(1)
    p._pyroHmacKey = "wrong"
    return results + [s.outcome(p.echo, 2)]
