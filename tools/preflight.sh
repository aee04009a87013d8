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
    command -v promtool >/dev/null || fail "promtool, for the alert rules" "apt-get install prometheus"
    command -v node >/dev/null || fail "Node.js 18 or later, for the TypeScript client" "apt-get install nodejs"
    command -v npm >/dev/null || fail "npm, for the TypeScript client and Helm" "apt-get install npm"
    command -v javac >/dev/null || fail "a JDK 17 or later, for the Java client" "apt-get install default-jdk-headless"
    command -v protoc >/dev/null || fail "protoc, for the Java client" "apt-get install protobuf-compiler"
    [ -e "$(dirname "$(command -v protoc)")/../include/google/protobuf/duration.proto" ] ||
        fail "google/protobuf/*.proto beside protoc, for the Java client" "apt-get install libprotobuf-dev"
    command -v grpc_java_plugin >/dev/null || fail "protoc's plugin for Java" "apt-get install protobuf-compiler-grpc-java-plugin"
    for jar in grpc-netty=libgrpc-java protobuf-util=libprotobuf-java netty-codec-http2=libnetty-java gson=libgoogle-gson-java \
        perfmark-api=libperfmark-java guava=libguava-java geronimo-annotation-1.3-spec=libgeronimo-annotation-1.3-spec-java \
        netty-tcnative=libnetty-tcnative-java; do
        [ -e "/usr/share/java/${jar%=*}.jar" ] || fail "${jar%=*}.jar, for the Java client" "apt-get install ${jar#*=}"
    done
    ls /usr/lib/*/jni/libnetty-tcnative.so >/dev/null 2>&1 ||
        fail "TLS of the Java client" "apt-get install libnetty-tcnative-jni"
fi
[ -z "$missing" ] || exit 1
