#!/bin/sh
# For a site, in slurm.conf:   TaskEpilog=/opt/tailrace/lammps_jobs/epilogues/task_epilog.sh
#
# Slurm runs it on the node, as the job's user and with the environment that the job was submitted with, after each
# task. It acts once a job, at the end of the batch script, and only for users who ask for it:
#
#   export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
#   sbatch job.sh
#
# The log is TAILRACE_LOG in the job's working directory (default: log.lammps), with %j, %A and %a as in sbatch --output.
# A site that has its own TaskEpilog calls this from there. It always exits 0.
# These hooks may be run without a search path.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
# The job that afterany.sh submits is no LAMMPS job itself.
if [ -n "${TAILRACE_STREAM:-}" ] && [ -z "${TAILRACE_AFTER:-}" ] && [ -z "${SLURM_STEP_ID:-}" ] && [ "${SLURM_PROCID:-0}" = 0 ]; then
    here=$(dirname "$0")
    # Unquoted: it lists several.
    "$here/report.sh" lammps_jobs.slurm_job --own "$SLURM_JOB_ID" ${TAILRACE_FEATURES:-}
fi
exit 0
