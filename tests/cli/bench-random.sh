# Networks of published sizes on random weights: what is printed, not how fast it is.
keys() { sed 's/"\([a-z_0-9]*\)": */\n\1\n/g' | grep -E '^[a-z_0-9]+$' | tr '\n' ' '; echo; }
$SO bench --random codec --only vocoder --seconds 1 --repeats 1 --threads 1 --json | keys
$SO bench --random llama-9b
$SO bench --random llama-1b q3_x --threads 1 --only prefill >/dev/null
$SO bench --random llama-1b q4_k more
