"""Writes answers.json: what real daemons answer to a CONNECT.

    .venv/bin/python backend/testdata/answers.py

The interpreter must have the packages of integration/requirements.txt (see
integration/venv.sh). Two versions of an object, of which one has another name
for one of many methods, are served by three processes each. Their hash seeds
differ, as those of any processes do: so does the order of methods in an answer.
"""
import json
import os
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
SERIALIZERS = {
    48: ["serpent", "json", "marshal", "pickle", "dill", "msgpack", "cloudpickle"],
    502: ["serpent", "json", "marshal", "msgpack"],
}
METHODS = 60
ONEWAY = 15


def members(version):
    """The methods of the object. There are so many that positions in the answer,
    where a serializer writes such, come in all sizes."""
    def make(name):
        def method(self):
            pass
        method.__name__ = name
        return method
    names = ["method%d" % i for i in range(METHODS - 1)] + ["renamed" if version == 2 else "original"]
    return {name: make(name) for name in names}


def pyro4(version, compress):
    import Pyro4
    import Pyro4.message
    import Pyro4.util
    Pyro4.config.SERIALIZERS_ACCEPTED = set(SERIALIZERS[48])
    Pyro4.config.COMPRESSION = compress
    methods = members(version)
    for name in list(methods)[:ONEWAY]:
        Pyro4.oneway(methods[name])
    daemon = Pyro4.Daemon(port=0)
    daemon.register(Pyro4.expose(type("Thing", (object,), methods)), "thing")

    def connect(name):
        serializer = Pyro4.util.get_serializer(name)
        data, _ = serializer.serializeData({"handshake": "hello", "object": "thing"})
        return Pyro4.message.Message(Pyro4.message.MSG_CONNECT, data, serializer.serializer_id,
                                     Pyro4.message.FLAGS_META_ON_CONNECT, 0).to_bytes()
    return daemon, connect


def pyro5(version, compress):
    import Pyro5.api
    import Pyro5.protocol
    import Pyro5.serializers
    Pyro5.config.COMPRESSION = compress
    methods = members(version)
    for name in list(methods)[:ONEWAY]:
        Pyro5.api.oneway(methods[name])
    daemon = Pyro5.api.Daemon(port=0)
    daemon.register(Pyro5.api.expose(type("Thing", (object,), methods)), "thing")

    def connect(name):
        serializer = Pyro5.serializers.serializers[name]
        data = serializer.dumps({"handshake": "hello", "object": "thing"})
        compression, Pyro5.config.COMPRESSION = Pyro5.config.COMPRESSION, False
        message = Pyro5.protocol.SendingMessage(Pyro5.protocol.MSG_CONNECT, 0, 0, serializer.serializer_id, data)
        Pyro5.config.COMPRESSION = compression
        return message.data
    return daemon, connect


def answers(protocol, version, compress):
    """One process: a daemon's answers, by serializer."""
    daemon, connect = (pyro4 if protocol == 48 else pyro5)(version, compress)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    host, port = daemon.locationStr.rsplit(":", 1)
    found = {}
    for name in SERIALIZERS[protocol]:
        with socket.create_connection((host, int(port)), timeout=10) as s:
            s.sendall(connect(name))
            head = recv(s, 24 if protocol == 48 else 40)
            if protocol == 48:
                rest = int.from_bytes(head[12:16], "big") + int.from_bytes(head[18:20], "big")
            else:
                rest = int.from_bytes(head[12:16], "big") + int.from_bytes(head[16:20], "big")
            found[name] = (head + recv(s, rest)).hex()
    return found


def recv(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, "the daemon has closed"
        data += piece
    return data


def main():
    if len(sys.argv) > 1:
        print(json.dumps(answers(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")))
        return
    rows = []
    for protocol in SERIALIZERS:
        for compress in (False, True):
            for version in (1, 2):
                for seed in range(3 if version == 1 else 1):
                    out = subprocess.run([sys.executable, __file__, str(protocol), str(version), str(compress)],
                                         env=dict(os.environ, PYTHONHASHSEED=str(seed)),
                                         check=True, stdout=subprocess.PIPE)
                    for name, answer in json.loads(out.stdout).items():
                        if compress and name != "serpent":
                            continue
                        rows.append({"protocol": protocol, "serializer": name, "compressed": compress,
                                     "version": version, "seed": seed, "answer": answer})
    with open(os.path.join(HERE, "answers.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print("%d answers" % len(rows))


if __name__ == "__main__":
    main()
