# A copy of the program, far from its model, says what is missing.
[ ! -e /usr/local/share/stream-omni/models ] || { echo "SKIP: the model is installed on this machine" >&2; exit 77; }
mkdir bin && cp "$SO" bin/so && bin/so ask "Hello."
