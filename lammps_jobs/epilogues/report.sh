#!/bin/sh
# Report the LAMMPS run of a job. The other scripts in this directory call it. It prints one line and always exits with 0.
#
#   report.sh [MODULE] [OPTIONS AND FEATURES]      for example: report.sh lammps_jobs.epilogue --log log.lammps x y z
#
# Settings from the environment. A site may set them in /etc/tailrace/epilogue.conf, as lines of shell:
#   TAILRACE_HOME      the checkout of Tailrace, with lammps_jobs and client (default: the one that contains this file)
#   TAILRACE_PYTHON    Python 3.9 or later, without any packages (default: python3). none: use lammps_jobs/epilogue.sh instead, which
#                      needs a shell and curl
#   TAILRACE_URL, TAILRACE_TOKEN, TAILRACE_SPOOL, TAILRACE_CA_FILE, TAILRACE_STREAM, TAILRACE_LOG
conf=${TAILRACE_CONF:-/etc/tailrace/epilogue.conf}
if [ -r "$conf" ]; then
    set -a
    . "$conf"
    set +a
fi
home=${TAILRACE_HOME:-$(CDPATH= cd -- "$(dirname "$0")/../.." && pwd)}
PYTHONPATH=$home:$home/client${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
module=lammps_jobs.epilogue
case ${1:-} in lammps_jobs.*) module=$1; shift ;; esac
if [ "${TAILRACE_PYTHON:-}" = none ]; then
    if [ "$module" = lammps_jobs.epilogue ]; then
        timeout 60 "$home/lammps_jobs/epilogue.sh" "$@" </dev/null
    else
        echo "tailrace: nothing posted: $module needs Python 3.9 or later (TAILRACE_PYTHON)" >&2
    fi
    exit 0
fi
# The epilogue has its own deadline of 5 s. This timeout is for a Python on a file system that hangs.
timeout 60 "${TAILRACE_PYTHON:-python3}" -m "$module" "$@" </dev/null ||
    echo "tailrace: nothing posted: ${TAILRACE_PYTHON:-python3} could not run the epilogue (TAILRACE_PYTHON, TAILRACE_HOME)" >&2
exit 0
