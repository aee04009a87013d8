# Runs pytest: `sh tools/tests.sh PYTHON ARGUMENTS`. Tests that fail are run once more, one at a time; what fails again ends
# it. The reason stands in docs/decisions/0034-a-failed-test-is-asked-twice.md. STRICT=1 asks once.
python=$1
shift
"$python" -m pytest -q "$@" && exit
failed=$?
[ "$failed" = 1 ] && [ -z "${STRICT:-}" ] || exit "$failed"
echo "=== again, one at a time: what fails once is a fault to look for, what fails twice is one that was found ==="
"$python" -m pytest -v "$@" -n 0 --last-failed --last-failed-no-failures none --maxfail 1
