#!/usr/bin/env bash
# A file of each number of tracks for every task of a SLURM array; alone on a laptop, file 0.
#
#     sbatch --array=0-99 my_generator/generate.sh --events 20000 --out data/my_generator
#     bash my_generator/generate.sh --events 20000 --out data/my_generator
#
# It may be called from any folder, as example_exec.sh, which it runs.
#SBATCH --job-name=my_generator
#SBATCH --ntasks=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A_%a.log
#SBATCH --open-mode=append

set -euo pipefail

# The file that was given to sbatch, as SLURM remembers it
submitted_file() {
    local said
    said=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null) || return 0
    if [[ $said =~ Command=([^[:space:]]+) ]]; then
        echo "${BASH_REMATCH[1]}"
    fi
}

# sbatch runs a copy of this file: then the repository is where the job was submitted, or where that file is
repository=$(dirname "${BASH_SOURCE[0]}")/..
if [ ! -f "$repository/example_exec.sh" ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    repository=${SLURM_SUBMIT_DIR:-.}
    if [ ! -f "$repository/example_exec.sh" ]; then
        repository=$(dirname "$(submitted_file)")/..
    fi
fi
if [ ! -f "$repository/example_exec.sh" ]; then
    echo "the repository was not found: submit from its folder, or give sbatch the full path of generate.sh" >&2
    exit 1
fi
exec bash "$repository/example_exec.sh" -m my_generator --first-file "${SLURM_ARRAY_TASK_ID:-0}" "$@"
