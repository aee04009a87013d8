#!/bin/sh
# Installs the packages, generates the code of the contract and compiles: only what has changed since the last time.
# Several may call it at once.
set -e
cd "$(dirname "$0")"
exec 9>.build.lock
flock 9
INSTALLED=node_modules/.package-lock.json
if [ ! -e $INSTALLED ] || [ package-lock.json -nt $INSTALLED ]; then
    npm ci --silent --no-audit --no-fund
    touch $INSTALLED
fi
changed() {
    find ../../protos/avatar package.json package-lock.json buf.gen.yaml tsconfig.json build.sh src examples test \
        \( -name gen -prune \) -o -type f \( -name '*.ts' -o -name '*.proto' -o -name '*.json' -o -name '*.yaml' -o -name '*.sh' \) \
        -newer dist/.built -print | grep -q .
}
if [ ! -e dist/.built ] || changed; then
    rm -rf dist/test # a test that was removed must not run; the rest is overwritten, as others may be running it
    npm run --silent build
    touch dist/.built
fi
