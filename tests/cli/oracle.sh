# The oracle (tools/oracle, NumPy) computes again what the golden sets hold: of the language model, and of the codec.
for python in ${SO_ORACLE_PYTHON:-python3 /usr/bin/python3}; do
    $python -c 'import numpy' 2>/dev/null && break
    python=
done
[ -n "$python" ] || {
    echo "SKIP: no NumPy (name a python that has it in SO_ORACLE_PYTHON)" >&2
    exit 77
}
$python -B "$ROOT/tools/oracle/check.py" "$ROOT/tests/golden/tiny" | tail -1
$python -B "$ROOT/tools/oracle/check_codec.py" "$ROOT/tests/golden/tiny-codec" | tail -1
