#!/bin/sh
# Report a Slurm job after its end, by a small separate job. The job itself is not changed.
#
#   export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
#   job=$(sbatch --parsable job.sh)
#   /opt/tailrace/lammps_jobs/epilogues/afterany.sh "$job" [OPTIONS OF SBATCH]
#
# It prints the number of the small job. The log is TAILRACE_LOG in the job's working directory (default: log.lammps), in
# which %j, %A and %a have the same meaning as in sbatch --output. For a job array, each task is reported.
if [ -n "${TAILRACE_AFTER:-}" ]; then
    # Unquoted, because it is a list.
    exec "$TAILRACE_HOME/lammps_jobs/epilogues/report.sh" lammps_jobs.slurm_job "$TAILRACE_AFTER" $TAILRACE_FEATURES
fi
case ${1:-} in
[0-9]*) ;;
*)
    echo "usage: $0 JOB [OPTIONS OF SBATCH], where JOB is what sbatch --parsable prints" >&2
    exit 2
    ;;
esac
TAILRACE_AFTER=${1%%;*}
# Where sbatch handed the job to another cluster, it names that too: a job of the same number here is another one.
case $1 in
*\;?*) cluster=${1#*;} ;;
*) cluster= ;;
esac
TAILRACE_HOME=${TAILRACE_HOME:-$(CDPATH= cd -- "$(dirname "$0")/../.." && pwd)}
export TAILRACE_AFTER TAILRACE_HOME
shift
# The user's own settings for sbatch could make it an array, wait for it, or prevent the export of these variables.
unset SBATCH_ARRAY_INX SBATCH_EXPORT SBATCH_GET_USER_ENV SBATCH_WAIT
exec sbatch --parsable --export=ALL --job-name="tailrace-$TAILRACE_AFTER" --dependency="afterany:$TAILRACE_AFTER" --ntasks=1 --time=5 \
    --output="tailrace-%j.out" ${cluster:+"--clusters=$cluster"} "$@" "$0"
