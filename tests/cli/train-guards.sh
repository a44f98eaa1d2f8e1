# What stops a run of training before it does harm: parts that are missing, a folder in use, other settings, a cut corpus.
train() { timeout 600 $SO train tabletop "$@" >told 2>error; echo "$? $(sed 's/process [0-9]*/process N/' error)"; }
for part in eyes backbone ears steady units bottom top flow vocoder adversarial omni model; do
    printf '%s ' $part
    train empty --part $part --steps 1
done
train t --part vocabulary
train t --part vocabulary --seed 2

# A second run while the folder is locked; the lock goes with the process that holds it.
mkfifo hold
(
    flock 9
    echo 12345 >&9
    cat hold >hold.read
) 9<>t/lock &
until [ -s t/lock ] && ! flock -n t/lock true; do sleep 0.05; done
train t --part vocabulary
: >hold
wait
train t --part vocabulary

# Interrupted after a checkpoint, gone on with other settings, then with the same ones.
train t --part eyes --steps 2
rm t/eyes.safetensors
train t --part eyes --steps 3 --bf16 --window 7
train t --part eyes --steps 2
grep -c nan told
