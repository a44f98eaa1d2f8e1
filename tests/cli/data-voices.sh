# Voices are listed with those of a command; one that fails is told, and the others speak.
set -u
say() { printf '%s\n' "$*"; }
cat >speak <<'END'
#!/bin/sh
[ "$1" = good ] || { echo "no such voice: $1" >&2; exit 4; }
cp "$ROOT/examples/question.wav" "$3"
END
chmod +x speak
"$SO" data voices --engines command --voice-command './speak {voice} {text} {wav}' --voice-names good,bad --samples heard 2>&1
say "status $?"
ls heard
"$SO" data voices --engines command --voice-command './speak {text}'
say "status $?"
