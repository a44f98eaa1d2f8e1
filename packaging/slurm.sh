#!/bin/sh
#SBATCH --job-name=stream-omni
#SBATCH --cpus-per-task=16
#SBATCH --mem=24G
#SBATCH --time=08:00:00
# A server on a node of a cluster; the address stands in the job's output. From outside: ssh -L 8080:NODE:8080 LOGIN
export STREAM_OMNI_API_KEY="${STREAM_OMNI_API_KEY:?a key that clients must give}"
exec stream-omni serve --host 0.0.0.0 --allow-host "$(hostname -f)" --threads "$SLURM_CPUS_PER_TASK" --model "${1:-stream-omni-8b.gguf}"
