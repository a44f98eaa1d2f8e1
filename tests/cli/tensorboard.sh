# TensorBoard's own reader finds the curves of a run, with the numbers of its log.
python=${SO_PEER_PYTHON:-python3}
$python -c 'import tensorboard' 2>/dev/null || {
    echo "SKIP: no TensorBoard (pip install tensorboard, and name that python in SO_PEER_PYTHON)" >&2
    exit 77
}
$SO train tabletop one --part vocabulary --threads 1 >/dev/null || exit
$SO train tabletop one --part eyes --steps 40 --threads 1 >/dev/null || exit
$python - <<'END' 2>/dev/null
import glob, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator("one/eyes")
found.Reload()
tags = found.Tags()["scalars"]
print(*(t for t in sorted(tags) if t.split("/")[1] in ("loss", "rate", "norm", "shape")))
log, last = {}, 0
for line in open("one/eyes/log.jsonl"):
    entry = json.loads(line)
    if "loss" in entry: log[entry["step"]] = entry["loss"]
events = {e.step: e.value for e in found.Scalars("train/loss")}
print(sorted(events) == sorted(log), all(abs(events[s] - log[s]) < 1e-6 * abs(log[s]) for s in log), len(log) > 0)
END
