# The batch file for Slurm, with a stand-in for srun: goes on when a rank is lost, ends with the run, and never begins again what was asked to stop.
mkdir bin
cat >bin/srun <<'SRUN'
#!/bin/sh
n=$(($(cat calls) + 1))
echo $n >calls
while [ "${1#--}" != "$1" ]; do shift; done
status=$(sed -n ${n}p statuses)
[ "$status" = run ] || exit "$status"
exec "$@"
SRUN
chmod +x bin/srun
batch() { # batch STATUSES: how each srun ends, "run": as the program does
    printf '%s\n' $1 >statuses
    echo 0 >calls
    shift
    PATH=$(pwd)/bin:$PATH STREAM_OMNI=$SO SLURM_CPUS_PER_TASK=1 TRIES=3 "$ROOT/examples/train/slurm.sh" "$@" 2>told >out
    echo "status $?, $(cat calls) runs, $(grep -c 'a rank was lost' told) lost"
    head -1 out
}
batch "75 137 run" keys
batch "75 75 137" keys
batch 143 keys
batch run nothing.toml
tail -1 told
