#!/bin/sh
# For a site, in slurm.conf:   EpilogSlurmctld=/opt/tailrace/lammps_jobs/epilogues/epilog_slurmctld.sh
#
# Slurm runs it on the controller, as SlurmUser, after each job. It acts for the jobs that ask for it by their comment:
#
#   sbatch --comment="tailrace lammps-runtime x y z" job.sh
#   sbatch --comment="tailrace lammps-runtime log=log.%a x y z" --array=1-20 job.sh
#
# The comment names the stream and the features: name=value, or a bare name whose value is read from the log. log= names the
# log in the job's working directory (default: log.lammps), with %j, %A and %a as in sbatch --output. SlurmUser must be able to
# read it. /etc/tailrace/epilogue.conf contains the server's address and the site's token (see report.sh).
#
# It always exits with 0 immediately, so that the controller does not wait: the report runs in the background. Its output goes to
# TAILRACE_EPILOG_LOG, which the same file can set (default: syslog, by logger).
case ${SLURM_JOB_COMMENT:-} in
"tailrace "*) ;;
*) exit 0 ;;
esac
# Slurm runs hooks without a PATH.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
here=$(dirname "$0")
setsid -w "$here/in_background.sh" "job $SLURM_JOB_ID" lammps_jobs.slurm_job --comment "$SLURM_JOB_COMMENT" "$SLURM_JOB_ID" \
    </dev/null >/dev/null 2>&1
exit 0
