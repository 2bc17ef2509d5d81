#!/bin/sh
# Prepares the Python environment of the integration tests and the demo: a venv that holds
# exactly the versions of requirements.txt. Run by `make` and by `go test`; running it again,
# or twice at the same time, is harmless.
#
# usage: venv.sh [DIR]     DIR defaults to $DISPATCH_TEST_VENV, then to .venv in the repository
#        PYTHON=python3.12 venv.sh     makes the venv with another interpreter
#
# Prints the path of the venv's interpreter on stdout, and what it does on stderr.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
requirements=$here/requirements.txt
venv=${1:-${DISPATCH_TEST_VENV:-$here/../.venv}}
python=${PYTHON:-python3}

say() { echo "venv: $*" >&2; }
die() { say "$*"; exit 1; }

# The stamp carries the hash of the requirements, so that make can use it as a target and
# a changed pin makes it disappear.
hash=$(cksum <"$requirements" | tr ' \t' '--')
stamp=$venv/.stamp-$hash

if [ "${1:-}" = --stamp-name ]; then
	echo ".stamp-$hash"
	exit 0
fi

mkdir -p "$venv"
venv=$(CDPATH= cd -- "$venv" && pwd)
stamp=$venv/.stamp-$hash

if [ -e "$stamp" ] && [ -x "$venv/bin/python" ]; then
	echo "$venv/bin/python"
	exit 0
fi

command -v "$python" >/dev/null || die "$python not found: the integration tests need Python 3.10 or newer"

# One run at a time: start again under a lock of the kernel's, which a killed run cannot leave
# behind. Python takes it, because flock(1) is not everywhere and Python is needed anyway.
if [ -z "${VENV_LOCKED:-}" ]; then
	VENV_LOCKED=1 exec "$python" -c '
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o666)
fcntl.flock(lock, fcntl.LOCK_EX)
os.set_inheritable(lock, True)
os.execv("/bin/sh", ["sh"] + sys.argv[2:])' "$venv/.lock" "$here/venv.sh" "$venv"
fi

# satisfied succeeds if the venv holds every pinned version, whoever installed it.
satisfied() {
	[ -x "$venv/bin/python" ] && "$venv/bin/python" - "$requirements" 2>/dev/null <<'PY'
import sys
from importlib.metadata import version
from pip._vendor.packaging.requirements import Requirement

for line in open(sys.argv[1]):
    line = line.split("#")[0].strip()
    if line:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate():
            if not need.specifier.contains(version(need.name)):
                sys.exit(1)
PY
}

if satisfied; then
	touch "$stamp"
else
	if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
		# Debian and its kin keep the module in a package of its own.
		if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
			say "installing python3-venv with apt-get: $python has no venv module"
			apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
		fi
		"$python" -c 'import venv, ensurepip' 2>/dev/null ||
			die "$python has no venv module (on Debian and Ubuntu: apt install python3-venv)"
	fi
	if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
		say "creating $venv with $("$python" --version 2>&1)"
		"$python" -m venv "$venv"
	fi
	say "installing $(grep -c '==' "$requirements") pinned packages from $requirements"
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
	rm -f "$venv"/.stamp-*
	touch "$stamp"
	say "$venv is ready"
fi
echo "$venv/bin/python"
