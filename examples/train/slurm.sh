#!/bin/bash
# A run on many machines under Slurm: a rank for each socket, gone on with when one is lost.
#
#   sbatch --nodes=4 examples/train/slurm.sh RUN.toml --set plan.slots=8
#
# Ranks (nodes times two here) are a power of two, and plan.slots is at least that. All must see the folder of the run. Five minutes before its time is
# over the run is told to end: it saves, and the same command goes on from there, also on another number of machines. Needs stream-omni-mpi.so (Debian:
# openmpi-bin; built where libopenmpi-dev is) and a Slurm with PMIx ('srun --mpi=list').
# SPDX-License-Identifier: Apache-2.0
#SBATCH --job-name=stream-omni
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
set -u
for try in $(seq "${TRIES:-20}"); do
    srun --mpi=pmix --cpu-bind=sockets --kill-on-bad-exit=1 "${STREAM_OMNI:-stream-omni}" train "$@" --threads "${SLURM_CPUS_PER_TASK:-16}"
    status=$?
    case $status in
    75 | 137 | 139) echo "a rank was lost (status $status, run $try): going on from the last checkpoint" >&2 ;;
    *) exit "$status" ;;
    esac
done
exit "$status"
