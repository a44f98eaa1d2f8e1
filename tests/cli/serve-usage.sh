# Options that do not go together are told before anything is served.
for options in "--port x" "--host 0.0.0.0 --port 0" "--listen nowhere" "--tls-cert a.pem" "--tls-cert a.pem --tls-key b.pem" \
    "--api-key-file keys" "--listen unix:/nowhere/socket" "extra"; do
    # shellcheck disable=SC2086
    "$SO" serve $options
    echo "$?"
done 2>&1
STREAM_OMNI_PORT=99999 "$SO" serve
