#!/bin/sh
# Writes the files here anew and has the real libraries check what Go writes.
#     generate.sh PYTHON3 [PYTHON2]
# PYTHON3 has Pyro4, Pyro5, serpent and msgpack, PYTHON2 Pyro4, serpent and msgpack.
set -eu
cd "$(dirname "$0")"
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
python3=$1
python2=${2-}
if [ -n "$python2" ]; then
	"$python2" pyro.py write >py2.new
else
	grep '^4-py2 ' pyro.txt >py2.new
fi
"$python3" pyro.py write >pyro.new
cat py2.new >>pyro.new
mv pyro.new pyro.txt
rm py2.new
"$python3" pyro.py uris >uris.txt
go test .. -run TestGoPayloads -update
"$python3" pyro.py check <go.txt
if [ -n "$python2" ]; then
	"$python2" pyro.py check <go.txt
fi
