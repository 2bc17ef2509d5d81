"""Sends blobs by their topic, without knowing who listens.

usage: sender.py NAMESERVER TOPIC...
"""
import sys

from Pyro5.api import Proxy, SerializedBlob

nameserver, *topics = sys.argv[1:]
with Proxy("PYRONAME:example.blobdispatcher@" + nameserver) as dispatcher:
    for number, topic in enumerate(topics, 1):
        answer = dispatcher.process_blob(SerializedBlob(topic, {"number": number}))
        print("  sent %s, answer: %s" % (topic, answer), flush=True)
    listening = {topic: len(uris) for topic, uris in dispatcher.topics().items()}
    print("  listeners: %s" % ", ".join("%s %d" % t for t in sorted(listening.items())))
