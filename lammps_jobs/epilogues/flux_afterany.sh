#!/bin/sh
# Report a Flux job after its end, by a small separate job. The job itself is not changed.
#
#   export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
#   job=$(flux batch -n 48 job.sh)
#   /opt/tailrace/lammps_jobs/epilogues/flux_afterany.sh "$job" [OPTIONS OF FLUX SUBMIT]
#
# It prints the number of the small job. The log is TAILRACE_LOG in the job's working directory (default: log.lammps).
# A script that is run by flux batch may source trap.sh instead.
home=${TAILRACE_HOME:-$(CDPATH= cd -- "$(dirname "$0")/../.." && pwd)}
if [ $# -eq 0 ] || [ "${1#-}" != "$1" ]; then
    echo "usage: $0 JOB [OPTIONS OF FLUX SUBMIT], where JOB is what flux submit or flux batch prints" >&2
    exit 2
fi
job=$1
shift
# Unquoted, because it is a list.
exec flux submit --dependency="afterany:$job" --job-name=tailrace -n 1 -c 1 --time-limit=5m --output="tailrace-{{id}}.out" "$@" \
    "$home/lammps_jobs/epilogues/report.sh" lammps_jobs.flux_job "$job" ${TAILRACE_FEATURES:-}
