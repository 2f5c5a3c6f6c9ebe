#!/bin/sh
# For a site, in slurm.conf:   TaskEpilog=/opt/tailrace/lammps_jobs/epilogues/task_epilog.sh
#
# Slurm runs it on the node after each task, as the job's user and with the environment in which the job was submitted.
# It reports once for each job, at the end of the batch script, and only if the user has requested it:
#
#   export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
#   sbatch job.sh
#
# The log is TAILRACE_LOG in the job's working directory (default: log.lammps), with %j, %A and %a as in sbatch --output.
# A site with its own TaskEpilog can call this script from it. It always exits with 0.
# Slurm may run hooks without a PATH.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
# The job that afterany.sh submits is not a LAMMPS job.
if [ -n "${TAILRACE_STREAM:-}" ] && [ -z "${TAILRACE_AFTER:-}" ] && [ -z "${SLURM_STEP_ID:-}" ] && [ "${SLURM_PROCID:-0}" = 0 ]; then
    here=$(dirname "$0")
    # Unquoted, because it is a list.
    "$here/report.sh" lammps_jobs.slurm_job --own "$SLURM_JOB_ID" ${TAILRACE_FEATURES:-}
fi
exit 0
