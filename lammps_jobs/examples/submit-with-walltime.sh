#!/bin/sh
# Submit a LAMMPS run to Slurm with the wall time that a model predicts. The model then learns the result.
#
#   submit-with-walltime.sh X Y Z [PROCESSES] [OPTIONS OF SBATCH]
#
# Called by you, it asks the model, submits itself, and prints the job's number. Called by Slurm, it runs LAMMPS and posts the
# Loop time at the end, so that the model has learned it when you submit the next run. Create the model once:
#
#   tailrace create runtime --stream lammps-runtime --recipe runtime --target loop_time --unit s
#
# Settings, from the environment:
#   TAILRACE_URL, TAILRACE_TOKEN, TAILRACE_SPOOL   as for every other command
#   TAILRACE_STREAM, TAILRACE_MODEL                default: lammps-runtime, runtime
#   WALLTIME_DEFAULT     time to request if the model has learned nothing or can't be reached (default: 01:00:00)
#   WALLTIME_OPTIONS     more options of `tailrace walltime` (default: --quantile 0.95 --margin 10%+60s --floor 2m)
#   LMP, MPIEXEC, LAMMPS_POTENTIALS, STEPS         LAMMPS, its MPI, its potentials, the time steps
set -eu
if [ "${1:-}" != "run" ]; then
    if [ "$#" -lt 3 ]; then
        echo "usage: $0 X Y Z [PROCESSES] [OPTIONS OF SBATCH]" >&2
        exit 2
    fi
    TAILRACE_HOME=${TAILRACE_HOME:-$(cd "$(dirname "$0")/../.." && pwd)}
    TAILRACE_STREAM=${TAILRACE_STREAM:-lammps-runtime}
    export TAILRACE_HOME TAILRACE_STREAM
    x=$1 y=$2 z=$3 processes=1
    shift 3
    case ${1:-} in [1-9]*) processes=$1; shift ;; esac

    # 1. Predict. With a default it always prints a time. On standard error it tells if that is the default.
    # Unquoted, because it is a list of options.
    limit=$(PYTHONPATH=$TAILRACE_HOME/client "${TAILRACE_PYTHON:-python3}" -m tailrace walltime \
        "${TAILRACE_MODEL:-runtime}" "x=$x" "y=$y" "z=$z" "processes=$processes" \
        --format slurm --default "${WALLTIME_DEFAULT:-01:00:00}" \
        ${WALLTIME_OPTIONS:---quantile 0.95 --margin 10%+60s --floor 2m})

    # 2. Submit.
    exec sbatch --parsable --job-name="melt-$x-$y-$z" --ntasks="$processes" --time="$limit" "$@" \
        "$0" run "$x" "$y" "$z" "$processes"
fi
shift
x=$1 y=$2 z=$3 processes=$4

# 3. Run. trap.sh posts the Loop time when this script ends. It posts only completed runs: none that crashed or reached the wall
# time.
export TAILRACE_LOG="log.$SLURM_JOB_ID" TAILRACE_FEATURES="x y z" OMP_NUM_THREADS=1
. "$TAILRACE_HOME/lammps_jobs/epilogues/trap.sh"
"${MPIEXEC:-mpiexec}" -n "$processes" "${LMP:-lmp}" -in "$TAILRACE_HOME/lammps_jobs/inputs/melt.in" \
    -log "$TAILRACE_LOG" -screen none -v x "$x" -v y "$y" -v z "$z" \
    -v steps "${STEPS:-200}" -v seed "$SLURM_JOB_ID" -v potential "$LAMMPS_POTENTIALS/CuZr_mm.eam.fs"
