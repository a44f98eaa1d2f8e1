# The oracle (tools/oracle, NumPy) computes again what the golden set holds.
python=${SO_ORACLE_PYTHON:-python3}
$python -c 'import numpy' 2>/dev/null || {
    echo "SKIP: no NumPy (name a python that has it in SO_ORACLE_PYTHON)" >&2
    exit 77
}
$python -B "$ROOT/tools/oracle/check.py" "$ROOT/tests/golden/tiny" | tail -1
