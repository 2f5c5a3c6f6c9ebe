#!/bin/sh
# For a site: an executable file in Flux's epilog directory, such as /etc/flux/system/epilog.d/tailrace:
#
#   #!/bin/sh
#   exec /opt/tailrace/lammps_jobs/epilogues/flux_epilog.sh
#
# Flux runs it as root after each job, with FLUX_JOB_ID set. It acts for the jobs whose users had TAILRACE_STREAM in their
# environment when they submitted them (and TAILRACE_LOG and TAILRACE_FEATURES, as for trap.sh). It exits with 0 immediately: the
# report runs in the background. /etc/tailrace/epilogue.conf contains the server's address (see report.sh).
# Flux runs hooks without a PATH.
PATH=${PATH:-/usr/local/bin:/usr/bin:/bin}
export PATH
here=$(dirname "$0")
if [ -n "${FLUX_JOB_ID:-}" ]; then
    setsid -w "$here/in_background.sh" "job $FLUX_JOB_ID" lammps_jobs.flux_job --asked "$FLUX_JOB_ID" </dev/null >/dev/null 2>&1
fi
exit 0
