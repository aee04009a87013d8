#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Generates code from protos/ and compiles it with the client, its example and the conformance runner into build/.
# Does nothing where nothing has changed. Needs these packages of Debian 12 (or the same jars under JARS):
#   default-jdk-headless protobuf-compiler libprotobuf-dev protobuf-compiler-grpc-java-plugin libgrpc-java libprotobuf-java
#   libnetty-java libperfmark-java libguava-java libgoogle-gson-java libgeronimo-annotation-1.3-spec-java
#   libnetty-tcnative-java libnetty-tcnative-jni
# Then: java @clients/java/build/classpath avatar.examples.Talk --help
set -eu
cd "$(dirname "$0")"
jars=${JARS:-/usr/share/java}
protos=../../protos
classpath=
for jar in grpc-api grpc-context grpc-core grpc-netty grpc-protobuf grpc-protobuf-lite grpc-stub protobuf protobuf-util guava \
    gson perfmark-api geronimo-annotation-1.3-spec netty-buffer netty-codec netty-codec-http netty-codec-http2 netty-common \
    netty-handler netty-handler-proxy netty-resolver netty-tcnative netty-transport netty-transport-native-unix-common; do
    [ -e "$jars/$jar.jar" ] || {
        echo "clients/java/build.sh: $jars/$jar.jar is missing; the packages are named at its top" >&2
        exit 1
    }
    classpath=$classpath:$jars/$jar.jar
done

# Two steps, each with the sum of all that it is made from: the generated code takes longest and changes least.
sum_of() { find "$@" -type f \( -name '*.proto' -o -name '*.java' -o -name build.sh \) | sort | xargs cat | cksum; }
step() { # name, sum, command: runs the command unless it ran for the same sum
    [ "$(cat "build/$1.sum" 2>/dev/null)" = "$2" ] && return
    rm -rf "build/$1" "build/$1.sum"
    mkdir -p "build/$1"
    $3
    echo "$2" >"build/$1.sum"
}
contract() {
    mkdir build/contract/java build/contract/classes
    protoc -I "$protos" --java_out=build/contract/java "--plugin=protoc-gen-grpc-java=$(command -v grpc_java_plugin)" \
        --grpc-java_out=build/contract/java "$protos"/avatar/v1/*.proto
    find build/contract/java -name '*.java' >build/contract/sources
    javac -nowarn -proc:none -d build/contract/classes -cp "${classpath#:}" @build/contract/sources
}
client() {
    find src -name '*.java' >build/client/sources
    javac -Xlint:all,-processing,-classfile,-path -Werror -proc:none -d build/client \
        -cp "build/contract/classes$classpath" @build/client/sources
}
# One build at a time: tests may run side by side.
mkdir -p build
exec 9>build/lock
flock 9
step contract "$(sum_of "$protos/avatar" build.sh)" contract
step client "$(sum_of "$protos/avatar" src build.sh)" client
# Debian's netty does TLS by OpenSSL alone, and looks for it by another name than the package gives it. It refuses a link.
mkdir -p build/native
cp -uL /usr/lib/*/jni/libnetty-tcnative.so build/native/libnetty_tcnative.so
echo "-Djava.library.path=$PWD/build/native -cp $PWD/build/client:$PWD/build/contract/classes$classpath" >build/classpath
