#!/usr/bin/env bash
# Run a script of this repository, on a laptop or as a SLURM job; without arguments, the main job.
#
#     bash example_exec.sh [scripts/x.py ARGS...]
#     sbatch example_exec.sh scripts/x.py ARGS...
#     sbatch --gres=gpu:1 example_exec.sh scripts/x.py --OneDeviceStrategy "/gpu:0" ARGS...
#
# Account, partition, GPU and modules belong to your site: give them on the sbatch line or load them in your shell.
#SBATCH --job-name=tracker-ml
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=06:00:00
#SBATCH --output=%x-%j.log

set -euo pipefail

# sbatch runs a copy of this file: the repository is where the job was submitted
repository=${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)}
cd "$repository"

make --silent venv

if [ $# -eq 0 ]; then
    set -- scripts/count_tracks.py
fi
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
exec .venv/bin/python "$@"
