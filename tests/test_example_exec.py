"""The job script: it finds the repository wherever it is called, and no SLURM job makes the environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = """\
venv: .venv/ready
.venv/ready: requirements.txt
\tmkdir -p .venv/bin
\tcp python.sh .venv/bin/python
\ttouch .venv/ready
"""
PYTHON = """\
#!/usr/bin/env bash
echo "in $PWD: $*"
"""


@pytest.fixture
def repository(tmp_path):
    """A repository of the scripts alone, whose Python only says where it is and what it is to run."""
    folder = tmp_path / "repository"
    for name in ("example_exec.sh", "my_generator/generate.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "count_tracks.py").touch()
    for name in ("requirements.txt", "pyproject.toml"):
        (folder / name).touch()
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "python.sh").write_text(PYTHON)
    (folder / "python.sh").chmod(0o755)
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def make_venv(repository):
    subprocess.run(["make", "--silent", "venv"], cwd=repository, check=True)


def call(script, *arguments, cwd, **variables):
    """Run a job script; SLURM's variables are given, and no others are set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = ["bash", str(script), *map(str, arguments)]
    environment = inherited | {name: str(value) for name, value in variables.items()}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def spooled(script, tmp_path):
    """The copy of a script that SLURM runs."""
    copy = tmp_path / "spool" / "job7" / "slurm_script"
    copy.parent.mkdir(parents=True)
    shutil.copy(script, copy)
    return copy


def path_with_scontrol(tmp_path, said):
    """A PATH on which `scontrol show job 7` says something."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "scontrol"
    program.write_text(
        f'#!/usr/bin/env bash\n[ "$*" = "show job 7" ] || exit 1\ncat <<END\n{said}\nEND\n'
    )
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def job_of(script, arguments=""):
    """What `scontrol` says of a job."""
    return f"JobId=7 JobName=tracker-ml\n   Requeue=1\n   Command={script} {arguments}\n   WorkDir=/somewhere"


def test_on_a_laptop_it_makes_the_environment_and_runs_the_main_job(repository):
    done = call("example_exec.sh", cwd=repository)
    assert done.stdout == f"in {repository}: {repository}/scripts/count_tracks.py\n"
    assert (repository / ".venv" / "ready").exists()


def test_from_another_folder_the_script_is_the_repository_s_and_files_are_where_one_is(
    repository, elsewhere
):
    script = repository / "example_exec.sh"
    done = call(script, "scripts/count_tracks.py", "my file.root", "--out", "runs", cwd=elsewhere)
    assert (
        done.stdout
        == f"in {elsewhere}: {repository}/scripts/count_tracks.py my file.root --out runs\n"
    )
    assert (
        call(script, "mine.py", "scripts", cwd=elsewhere).stdout
        == f"in {elsewhere}: mine.py scripts\n"
    )


@pytest.mark.parametrize("state", ["missing", "half made", "older than the requirements"])
def test_a_job_does_not_make_the_environment(state, repository):
    if state != "missing":
        make_venv(repository)
    if state == "half made":
        (repository / ".venv" / "ready").unlink()
    if state == "older than the requirements":
        os.utime(repository / ".venv" / "ready", (1, 1))
    before = sorted(repository.rglob("*"))
    done = call("example_exec.sh", cwd=repository, SLURM_JOB_ID=7, SLURM_SUBMIT_DIR=repository)
    assert done.returncode == 1
    said = f"{repository}/.venv is missing or not up to date: make venv once, on the login node\n"
    assert (done.stdout, done.stderr) == ("", said)
    assert sorted(repository.rglob("*")) == before


def test_a_job_runs_in_the_environment_that_is_there(repository, tmp_path):
    make_venv(repository)
    copy = spooled(repository / "example_exec.sh", tmp_path)
    done = call(copy, cwd=repository, SLURM_JOB_ID=7, SLURM_SUBMIT_DIR=repository)
    assert done.stdout == f"in {repository}: {repository}/scripts/count_tracks.py\n"


def test_a_job_that_was_submitted_elsewhere_asks_slurm_for_its_script(
    repository, elsewhere, tmp_path
):
    make_venv(repository)
    (elsewhere / "Makefile").touch()  # of another project
    copy = spooled(repository / "example_exec.sh", tmp_path)
    said = job_of(repository / "example_exec.sh", "scripts/count_tracks.py my.root")
    slurm = {
        "SLURM_JOB_ID": 7,
        "SLURM_SUBMIT_DIR": elsewhere,
        "PATH": path_with_scontrol(tmp_path, said),
    }
    done = call(copy, "scripts/count_tracks.py", "my.root", cwd=elsewhere, **slurm)
    assert done.stdout == f"in {elsewhere}: {repository}/scripts/count_tracks.py my.root\n"


@pytest.mark.parametrize("script", ["example_exec.sh", "my_generator/generate.sh"])
@pytest.mark.parametrize(
    "said", ["slurm_load_jobs error: Invalid job id specified", job_of("(null)")]
)
def test_a_job_whose_repository_is_not_found_says_so(script, said, repository, elsewhere, tmp_path):
    copy = spooled(repository / script, tmp_path)
    slurm = {
        "SLURM_JOB_ID": 7,
        "SLURM_SUBMIT_DIR": elsewhere,
        "PATH": path_with_scontrol(tmp_path, said),
    }
    done = call(copy, cwd=elsewhere, **slurm)
    assert done.returncode == 1
    assert done.stderr.startswith("the repository was not found: submit from its folder, or ")
    assert len(done.stderr.splitlines()) == 1


def test_in_an_allocation_the_script_that_is_called_counts(repository, elsewhere):
    make_venv(repository)
    done = call(
        repository / "example_exec.sh", cwd=elsewhere, SLURM_JOB_ID=7, SLURM_SUBMIT_DIR=elsewhere
    )
    assert done.stdout == f"in {elsewhere}: {repository}/scripts/count_tracks.py\n"


@pytest.mark.parametrize("submitted_from", ["repository", "elsewhere"])
def test_tasks_of_an_array_make_the_file_of_their_number(
    submitted_from, repository, elsewhere, tmp_path
):
    make_venv(repository)
    folder = repository if submitted_from == "repository" else elsewhere
    copy = spooled(repository / "my_generator" / "generate.sh", tmp_path)
    path = path_with_scontrol(
        tmp_path, job_of(repository / "my_generator" / "generate.sh", "--out data")
    )
    slurm = {"SLURM_JOB_ID": 7, "SLURM_SUBMIT_DIR": folder, "SLURM_ARRAY_TASK_ID": 42, "PATH": path}
    done = call(copy, "--out", "data", cwd=folder, **slurm)
    assert done.stdout == f"in {folder}: -m my_generator --first-file 42 --out data\n"


def test_alone_the_generator_s_script_makes_file_0(repository):
    done = call("my_generator/generate.sh", "--out", "data", cwd=repository)
    assert done.stdout == f"in {repository}: -m my_generator --first-file 0 --out data\n"


@pytest.mark.parametrize("script", ["example_exec.sh", "my_generator/generate.sh"])
def test_a_job_that_is_requeued_keeps_its_log(script):
    assert "#SBATCH --open-mode=append\n" in (ROOT / script).read_text()
