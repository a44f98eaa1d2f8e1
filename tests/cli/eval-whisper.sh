# 20,000 strings are normalised as Whisper's own code does it, and words are counted as jiwer does.
# SPDX-License-Identifier: Apache-2.0
python=${SO_DATA_PYTHON:-python3}
$python -c 'import whisper_normalizer, jiwer' 2>/dev/null || {
    echo "SKIP: no whisper-normalizer and jiwer (pip install them, and name that python in SO_DATA_PYTHON)" >&2
    exit 77
}
spelling=$($python -c 'import os, whisper_normalizer as w; print(os.path.join(os.path.dirname(w.__file__), "normalizers", "english.json"))')
TMPDIR=$PWD $python "$ROOT/tools/peer_whisper.py" "$SO" --lines 20000 --spelling "$spelling" | sed 's/: [0-9.]* and .* pairs/ pairs/'
