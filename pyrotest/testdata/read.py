"""Fills in, in encoded.json, what the real Pyro serializers read in each row.

    go test ./pyrotest -run TestEncode -update     # only where encodings changed
    .venv/bin/python pyrotest/testdata/read.py

The interpreter must have the packages of integration/requirements.txt (see
integration/venv.sh).
"""
import json
import os

import Pyro4.util
import Pyro5.serializers

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "encoded.json")

with open(PATH) as f:
    rows = json.load(f)
for row in rows:
    data = bytes.fromhex(row["hex"])
    if row["protocol"] == 48:
        value = Pyro4.util.get_serializer(row["serializer"]).loads(data)
    else:
        value = Pyro5.serializers.serializers[row["serializer"]].loads(data)
    row["read"] = repr(value)
with open(PATH, "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
