#!/bin/sh
# For a site, in slurm.conf:   EpilogSlurmctld=/opt/tailrace/lammps_jobs/epilogues/epilog_slurmctld.sh
#
# Slurm runs it on the controller, as SlurmUser, after each job. It acts for the jobs that ask for it by their comment:
#
#   sbatch --comment="tailrace lammps-runtime x y z" job.sh
#   sbatch --comment="tailrace lammps-runtime log=log.%a x y z" --array=1-20 job.sh
#
# that is: the stream, and features as name=value or as bare names that are read from the log. The log is log.lammps in
# the job's working directory unless log= says otherwise, with %j, %A and %a as in sbatch --output; SlurmUser must be able
# to read it. Where the server is, and the site's token, stand in /etc/tailrace/epilogue.conf (see report.sh).
#
# It exits 0 at once, whatever happens: the controller must not wait for a report, which goes on in the background.
# What it says goes to TAILRACE_EPILOG_LOG, from that file too (default: syslog, by logger).
case ${SLURM_JOB_COMMENT:-} in
"tailrace "*) ;;
*) exit 0 ;;
esac
# These hooks are run without a search path.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
here=$(dirname "$0")
setsid -w "$here/in_background.sh" "job $SLURM_JOB_ID" lammps_jobs.slurm_job --comment "$SLURM_JOB_COMMENT" "$SLURM_JOB_ID" \
    </dev/null >/dev/null 2>&1
exit 0
