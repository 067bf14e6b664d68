#!/usr/bin/env bash
# A file of each number of tracks for every task of a SLURM array; alone on a laptop, file 0.
#
#     sbatch --array=0-99 my_generator/generate.sh --events 20000 --out data/my_generator
#     bash my_generator/generate.sh --events 20000 --out data/my_generator
#SBATCH --job-name=my_generator
#SBATCH --ntasks=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A_%a.log

set -euo pipefail
repository=${SLURM_SUBMIT_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
cd "$repository"
exec bash example_exec.sh -m my_generator --first-file "${SLURM_ARRAY_TASK_ID:-0}" "$@"
