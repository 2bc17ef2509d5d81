"""Scenarios: calls, attributes, errors, batches, streams, instances."""

import datetime
import decimal
import uuid

from pyrolib import CustomError
from scenario import expect, scenario

VALUES = [
    None, True, False, 0, -1, 1 << 40, 1.5, float("inf"), "", "text", "gr\u00fc\u00df \u4f60\u597d \U0001f40d", "a\0b\r\n'\"\\",
    [], [1, [2, [3]]], (1, 2), {}, {"k": "v", "n": [1, {"deep": None}]}, {1: "int key", "s": 2}, {1, 2, 3},
    b"", b"bytes \x00\xff", bytearray(b"array"), 1 << 70, complex(1, 2), decimal.Decimal("1.50"),
    uuid.UUID(int=5), datetime.datetime(2020, 2, 3, 4, 5, 6), datetime.timedelta(seconds=5),
    "PYRO" * 20, b"PYRO\x01\xf6" * 20, "x" * 5000,
]


@scenario("main", "wire")
def echo_values(s):
    p = s.proxy()
    return [[repr(v)[:40], s.outcome(p.echo, v)] for v in VALUES]


@scenario("main")
def arguments(s):
    p = s.proxy()
    expect(p.add(2, 3) == 5, "2 + 3 is 5")
    return [
        s.outcome(p.everything), s.outcome(p.everything, 1, "2", x=3, y=[4]), s.outcome(p.nothing),
        s.outcome(p.add, 1), s.outcome(p.add, 1, 2, 3), s.outcome(p.add, a=1, b=2), s.outcome(p.add, 1, "2"),
        s.outcome(p.everything, *range(300)), s.outcome(p.echo, CustomError("as an argument", 3)),
    ]


@scenario("main")
def metadata(s):
    p = s.proxy()
    bound = [p._pyroBind(), p._pyroBind()]
    return [bound, sorted(p._pyroMethods), sorted(p._pyroAttrs), sorted(p._pyroOneway), s.normal.text(str(p._pyroUri))]


@scenario("main")
def errors(s):
    p = s.proxy()
    kinds = ["value", "key", "zero", "timeout", "unicode", "os", "stop", "custom", "pyro", "daemon", "serialize", "large"]
    results = [[kind, s.outcome(p.fail, kind)] for kind in kinds]
    expect("remote traceback" in results[0][1], "an exception carries the remote traceback")
    return results + [s.outcome(p.echo, "still usable"), s.outcome(p.unserializable), s.outcome(p.echo, "still usable")]


@scenario("main")
def errors_that_close(s):
    """A communication error inside a method makes the daemon close the connection."""
    return errors_and_calls(s, "communication", "pyro_timeout")


@scenario("main")
def security_error(s):
    """After a security error a daemon may close the connection too, but answers first."""
    return errors_and_calls(s, "security")


def errors_and_calls(s, *kinds):
    p, results = s.proxy(), []
    for kind in kinds:
        results.append([kind, s.outcome(p.fail, kind), s.outcome(p.echo, "again"), s.outcome(p.echo, "and again")])
    return results


@scenario("main")
def not_there(s):
    p = s.proxy()
    invoke = p._pyroInvoke
    return [
        s.outcome(lambda: p.missing), s.outcome(p._pyroInvoke, "missing", (), {}),
        s.outcome(invoke, "_private", (), {}), s.outcome(invoke, "__init__", (), {}), s.outcome(invoke, "not_exposed", (), {}),
        s.outcome(invoke, "echo", (1,), {}, 0, "no.such.object"), s.outcome(invoke, "whoami.__class__", (), {}),
        s.outcome(p.echo, "still usable"),
    ]


@scenario("main")
def unknown_object(s):
    return [
        s.outcome(s.proxy("no.such.object")._pyroBind), s.outcome(lambda: s.proxy("lab.nothing").anything()),
        s.outcome(s.proxy("lab.failing")._pyroBind), s.outcome(lambda: s.proxy("lab.failing").anything()),
    ]


@scenario("main", "wire")
def object_names(s):
    names = ["lab.worker", "other.worker", "l\u00e4b.\u4f60\u597d", 'quo"te\\d\'x']
    return [[name, s.outcome(lambda: s.proxy(name).echo(1))] for name in names]


@scenario("main")
def attributes(s):
    p = s.proxy()
    if s.no_call_without_kwargs():
        return [s.outcome(setattr, p, "value", 1), s.outcome(lambda: p.value), s.outcome(p.echo, "still usable")]
    p.value = "initial"
    results = [s.outcome(lambda: p.value)]
    for new in ["changed", ["a", "list"], "refused", "initial"]:
        results.append([s.outcome(setattr, p, "value", new), s.outcome(lambda: p.value)])
    results += [s.outcome(lambda: p.readonly), s.outcome(setattr, p, "readonly", 1), s.outcome(lambda: p.broken)]
    results += [s.outcome(setattr, p, "missing", 1), s.outcome(p._pyroInvoke, "__getattr__", ("_value",), None)]
    return results


@scenario("main", "wire")
def batch(s):
    p = s.proxy()
    calls = s.lib.batch(p)
    for i in range(20):
        calls.add(i, i)
    calls.echo("x" * 300)
    results = [s.outcome(lambda: list(calls()))]
    if s.no_call_without_kwargs():
        return results + [s.outcome(p.echo, "still usable")]
    expect(results[0][:3] == [0, 2, 4], "a batch gives its results in order")
    seen = []

    def failing():
        calls.echo("before")
        calls.fail("value")
        calls.echo("never")
        for result in calls():
            seen.append(result)

    results += [s.outcome(failing), seen, s.outcome(lambda: list(s.lib.batch(p)()))]
    unknown = s.lib.batch(p)
    unknown.missing(1)
    return results + [s.outcome(lambda: list(unknown())), s.outcome(p.echo, "still usable")]


@scenario("main", "wire")
def oneway(s):
    p, side, call_id = s.proxy(), s.proxy(), s.new_id()
    results = [s.outcome(p.record_oneway, call_id) for _ in range(10)]
    results += [s.outcome(p.fail_oneway, call_id), s.outcome(p.echo, "after"), s.outcome(p.record_oneway)]
    s.until(lambda: side.recorded(call_id).get(call_id) == 11, "all oneway calls ran")
    return results + [s.outcome(p.recorded, call_id)["<run>" + call_id[len(s.run):]]]


@scenario("main", "wire")
def oneway_batch(s):
    p, side, call_id = s.proxy(), s.proxy(), s.new_id()
    calls = s.lib.batch(p)
    for _ in range(10):
        calls.record(call_id)
    results = [s.outcome(calls, oneway=True)]
    if s.no_call_without_kwargs():
        return results
    s.until(lambda: side.recorded(call_id).get(call_id) == 10, "the oneway batch ran")
    return results + [s.outcome(p.echo, "after")]


@scenario("inline")
def oneway_order(s):
    """Where the daemon keeps oneway calls in order, so does all that is in between: with other
    clients at work, the next call of the same client finds them done."""
    proxies, ids = [s.proxy() for _ in range(8)], [s.new_id() for _ in range(8)]
    for i in range(30):
        for p, call_id in zip(proxies, ids):
            p.record_oneway("%s/%02d" % (call_id, i))
    results = [[seen[len(call_id):] for seen in p.recorded_order(call_id)] for p, call_id in zip(proxies, ids)]
    expect(results == [["/%02d" % i for i in range(30)]] * 8, "oneway calls run in order, before the next call")
    return results


@scenario("main")
def oneway_then_gone(s):
    """A oneway call arrives although its sender closes at once."""
    call_id, side = s.new_id(), s.proxy()
    for _ in range(10):
        p = s.proxy()
        p.record_oneway(call_id)
        p._pyroRelease()
    s.until(lambda: side.recorded(call_id).get(call_id) == 10, "every oneway call ran")


@scenario("main", "wire")
def streams(s):
    p, side = s.proxy(), s.proxy()
    before = s.quietly(side.open_streams)
    results = [s.outcome(lambda: list(p.count(5))), s.outcome(lambda: list(p.count(0))),
               s.outcome(lambda: list(p.blocks(3, 1000))), s.outcome(lambda: list(p.broken_stream(2)))]
    expect(results[0] == [0, 1, 2, 3, 4], "a stream gives its items in order")

    abandoned = p.count(1000)
    results.append([next(abandoned) for _ in range(3)])
    abandoned.close()
    results.append(s.outcome(next, abandoned))

    # Interleaved: closing one of the two goes through a second connection.
    one, two = p.count(4), p.count(1000)
    results.append([[next(one), next(two)] for _ in range(3)])
    two.close()
    results.append(s.outcome(lambda: list(one)))
    s.until(lambda: side.open_streams() == before, "no stream is left open")
    return results + [s.outcome(p.echo, "after")]


@scenario("main")
def stream_outlives_connection(s):
    """Streams belong to the daemon: after a reconnect the next item is still there."""
    p = s.proxy()
    stream = p.count(10)
    results = [next(stream), next(stream)]
    p._pyroReconnect()
    results.append(s.outcome(next, stream))
    p._pyroRelease()
    results.append(s.outcome(next, stream))
    p._pyroReconnect()
    stream.close()
    return results + [s.outcome(p._pyroInvoke, "get_next_stream_item", ["no such stream"], {}, 0, "Pyro.Daemon")]


@scenario("main")
def instances(s):
    """Which calls share an instance, where that does not depend on the connection."""
    return which_instances(s, "single", "percall")


@scenario("main")
def instances_by_connection(s):
    results = which_instances(s, "session", "default")
    expect([i for i, _ in results["session"]] == [0, 0, 1, 0, 2], "a session instance belongs to its connection")
    return results


def which_instances(s, *modes):
    """Numbers the instances that calls by two proxies, and one after a reconnect, reach."""
    results = {}
    for mode in modes:
        p, q = s.proxy("lab." + mode), s.proxy("lab." + mode)
        calls = [p.bump(), p.bump(), q.bump(), p.bump()]
        p._pyroReconnect()
        calls.append(p.bump())
        serials, first = [], calls[0][1]
        for serial, _ in calls:
            if serial not in serials:
                serials.append(serial)
        results[mode] = [[serials.index(serial), count - first] for serial, count in calls]
    return results


@scenario("main")
def daemon_object(s):
    p, d = s.proxy(), s.proxy("Pyro.Daemon")
    return [
        s.outcome(d.ping), s.outcome(lambda: sorted(d.registered())), s.outcome(d.info),
        s.outcome(lambda: {k: sorted(v) for k, v in d.get_metadata("lab.session").items()}),
        s.outcome(d.get_metadata, "no.such.object"), s.outcome(lambda: d.missing),
        s.outcome(p._pyroInvoke, "ping", (), {}, 0, "Pyro.Daemon"), s.outcome(p.echo, "after"),
    ]


@scenario("main")
def many_small_calls(s):
    p, call_id = s.proxy(), s.new_id()
    s.frames = None
    got = [p.record(call_id) for _ in range(300)]
    expect(got == list(range(1, 301)), "every call ran once, in order")
    return len(got)


@scenario("main", "wire")
def sequence_numbers(s):
    """Sequence numbers wrap at 16 bits, and a reconnect carries the current one."""
    p = s.proxy()
    p._pyroBind()
    p._pyroSeq = 65530
    results = [[p.echo(i), p._pyroSeq] for i in range(10)]
    p._pyroSeq = 65535
    p._pyroReconnect()
    return results + [p.echo("reconnected"), p._pyroSeq]


@scenario("main", "wire")
def ping(s):
    p = s.proxy()
    p._pyroBind()
    # Pyro4 signs its ping but does not check the signature of the pong, and says so.
    return [s.outcome(s.lib.ping, p), s.outcome(s.lib.ping, p), s.outcome(p.echo, "between"), s.outcome(s.lib.ping, p)]


@scenario("main")
def pyro4_only(s):
    """METADATA off: the CONNECT names no object. And asynchronous calls."""
    if s.lib.name != "pyro4":
        return "not in this library"
    s.lib.config.METADATA = False
    try:
        p = s.proxy()
        results = [s.outcome(p.echo, 1), s.outcome(p.missing), s.outcome(lambda: p.value),
                   s.outcome(s.proxy("no.such.object").echo, 1), s.outcome(p.fail, "value")]
        results.append(s.outcome(lambda: list(p.count(3))))
        results.append(s.outcome(s.proxy(handshake={"refuse": "without an object"})._pyroBind))
    finally:
        s.lib.config.METADATA = True
    q = s.proxy()
    q._pyroAsync()
    futures = [q.add(i, 1) for i in range(5)]
    return results + [[f.value for f in futures], s.outcome(lambda: q.fail("value").value)]
