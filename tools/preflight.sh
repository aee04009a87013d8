#!/bin/sh
# Names what this machine lacks, each with the command that brings it. Installs nothing. `tests` as the argument: also what
# only the tests need.
missing=""
fail() { printf 'missing: %s\n  %s\n' "$1" "$2" >&2; missing=yes; }

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "Linux on x86-64" "Triton's server comes for this alone"
if [ -z "$PYTHON" ]; then
    fail "Python 3.11 or 3.12" "apt-get install python3.11 python3.11-venv libpython3.11"
else
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || fail "venv of Python $version" "apt-get install python$version-venv"
    "$PYTHON" - <<'PY' || fail "libpython$version.so" "apt-get install libpython$version"
import pathlib, sys, sysconfig
name = sysconfig.get_config_var("INSTSONAME") or ""
places = [sysconfig.get_config_var("LIBDIR"), sys.base_prefix + "/lib", "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"]
wanted = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
sys.exit(not any(place and (pathlib.Path(place) / wanted).exists() for place in places))
PY
fi
[ "$(df -Pk . | awk 'NR==2 {print $4}')" -gt 4000000 ] || fail "4 GB of free disk" "the installed packages take 2.3 GB"
if [ "$1" = tests ]; then
    command -v redis-server >/dev/null || fail "redis-server" "apt-get install redis-server"
fi
[ -z "$missing" ] || exit 1
