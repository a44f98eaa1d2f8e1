#!/bin/sh
# Every option that documents, units and snippets name after `stream-omni VERB` (or `./run VERB`) is one of that verb's, every
# STREAM_OMNI_... one of serve's or a client's; what is put before a server is taken by the program that it is for. Writes TAP.
# Usage: tests/headers/flags.sh BUILD
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
so=${1:-build}/stream-omni
echo 1..4
place=$(mktemp -d) || exit 2
trap 'rm -rf "$place"' EXIT
files="README.md CHANGELOG.md docs/*.md packaging/* examples/*.* examples/train/*"

# "file verb option", of every use; a command ends where another begins.
# shellcheck disable=SC2086
grep -HE '(stream-omni|\./run) [a-z]+' $files 2>/dev/null | grep -v '^packaging/grafana' | awk '
    {
        file = $0; sub(/:.*/, "", file)
        text = substr($0, length(file) + 2)
        n = split(text, part, /(stream-omni|\.\/run) /)
        for (i = 2; i <= n; i++) {
            verb = part[i]; sub(/[^a-z].*/, "", verb)
            rest = part[i]
            sub(/[`|#].*/, "", rest)
            while (match(rest, /(^|[ [(])--[a-z][a-z0-9-]*/)) {
                option = substr(rest, RSTART, RLENGTH); sub(/^[^-]*/, "", option)
                print file, verb, option
                rest = substr(rest, RSTART + RLENGTH)
            }
        }
    }' | sort -u >"$place/uses"
verbs=$("$so" help | sed -n 's/^  \([a-z]*\) .*/\1/p')
# Options of a verb, or of one of its parts, as its help lists them.
listed() { "$so" "$@" --help | sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p'; }
for verb in $verbs; do listed "$verb" >"$place/$verb"; done
for part in index check stats show units shard instruct-omni spoken-visit; do listed data $part >>"$place/data"; done
listed train run.toml >>"$place/train"
for part in prepare run score judge page wer normalise; do listed eval $part >>"$place/eval"; done
strange=$(while read -r file verb option; do
    [ -f "$place/$verb" ] || continue # ./run build, a name that only looks like a verb
    grep -qx -e "$option" "$place/$verb" || echo "$file: stream-omni $verb has no $option"
done <"$place/uses")
if [ "$(wc -l <"$place/uses")" -gt 40 ] && [ -z "$strange" ]; then echo "ok 1 - options that are named exist"; else
    echo "$strange" >&2
    wc -l "$place/uses" >&2
    echo "not ok 1 - options that are named exist"
fi

# STREAM_OMNI_TLS_CERT is --tls-cert; three are a client's.
# shellcheck disable=SC2086
strange=$(grep -ohE 'STREAM_OMNI_[A-Z_]*[A-Z]' $files | sort -u | while read -r name; do
    case $name in STREAM_OMNI_SERVER | STREAM_OMNI_KEY | STREAM_OMNI_TLS_CA) continue ;; esac
    option=$(printf '%s' "${name#STREAM_OMNI_}" | tr 'A-Z_' 'a-z-')
    grep -qx -e "--$option" "$place/serve" || echo "$name: serve has no --$option"
done)
if [ -z "$strange" ]; then echo "ok 2 - so do twins in the environment"; else
    echo "$strange" >&2
    echo "not ok 2 - so do twins in the environment"
fi

if command -v nginx >/dev/null && command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=talk.example.org -keyout "$place/talk.key" -out "$place/talk.pem" 2>/dev/null
    {
        printf 'pid %s/pid; error_log stderr; events {}\nhttp { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p;\n' "$place" "$place" "$place"
        printf 'fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n' "$place" "$place" "$place"
        sed "s|/etc/ssl/talk|$place/talk|; s/listen 443/listen 127.0.0.1:8443/" packaging/nginx.conf
        echo '}'
    } >"$place/nginx.conf"
    if nginx -t -q -c "$place/nginx.conf" >&2; then echo "ok 3 - nginx takes nginx.conf"; else echo "not ok 3 - nginx takes nginx.conf"; fi
else
    echo "# SKIP: no nginx, or no openssl" >&2
    echo "not ok 3 # SKIP nginx takes nginx.conf"
fi
if command -v caddy >/dev/null; then
    if XDG_DATA_HOME="$place" XDG_CONFIG_HOME="$place" HOME="$place" caddy validate --adapter caddyfile --config packaging/Caddyfile >"$place/caddy" 2>&1; then
        echo "ok 4 - Caddy takes the Caddyfile"
    else
        cat "$place/caddy" >&2
        echo "not ok 4 - Caddy takes the Caddyfile"
    fi
else
    echo "# SKIP: no caddy" >&2
    echo "not ok 4 # SKIP Caddy takes the Caddyfile"
fi
