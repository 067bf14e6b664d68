#!/usr/bin/env bash
# Run a script of this repository, on a laptop or as a SLURM job; without arguments, the main job.
#
#     bash example_exec.sh [scripts/x.py ARGS...]
#     sbatch example_exec.sh scripts/x.py ARGS...
#     sbatch --gres=gpu:1 example_exec.sh scripts/x.py --OneDeviceStrategy "/gpu:0" ARGS...
#
# It may be called from any folder: the script is one of the repository, files are named from where you are.
# On a laptop the first call makes the environment. A SLURM job does not: `make venv` once, on the login node.
# Account, partition, GPU and modules belong to your site: give them on the sbatch line or load them in your shell.
#SBATCH --job-name=tracker-ml
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=06:00:00
#SBATCH --output=%x-%j.log
#SBATCH --open-mode=append

set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}

is_repository() {
    [ -f "$1/Makefile" ] && [ -f "$1/example_exec.sh" ]
}

# The file that was given to sbatch, as SLURM remembers it
submitted_file() {
    local said
    said=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null) || return 0
    if [[ $said =~ Command=([^[:space:]]+) ]]; then
        echo "${BASH_REMATCH[1]}"
    fi
}

# sbatch runs a copy of this file: then the repository is where the job was submitted, or where that file is
repository=$(dirname "${BASH_SOURCE[0]}")
if ! is_repository "$repository" && [ -n "${SLURM_JOB_ID:-}" ]; then
    repository=${SLURM_SUBMIT_DIR:-.}
    if ! is_repository "$repository"; then
        repository=$(dirname "$(submitted_file)")
    fi
fi
if ! is_repository "$repository"; then
    fail "the repository was not found: submit from its folder, or give sbatch the full path of example_exec.sh"
fi
repository=$(cd "$repository" && pwd)

ready=$repository/.venv/ready
if [ -z "${SLURM_JOB_ID:-}" ]; then
    make --silent --directory "$repository" venv
elif [ ! "$ready" -nt "$repository/requirements.txt" ] || [ ! "$ready" -nt "$repository/pyproject.toml" ]; then
    fail "$repository/.venv is missing or not up to date: make venv once, on the login node"
fi

if [ $# -eq 0 ]; then
    set -- scripts/count_tracks.py
fi
if [ -f "$repository/$1" ]; then
    set -- "$repository/$1" "${@:2}"
fi
exec "$repository/.venv/bin/python" "$@"
