#!/bin/sh
# Report the LAMMPS run of a job; what the other scripts here call. It says one line and always exits 0.
#
#   report.sh [MODULE] [OPTIONS AND FEATURES]      such as: report.sh lammps_jobs.epilogue --log log.lammps x y z
#
# Settings, from the environment; a site may keep them in /etc/tailrace/epilogue.conf, as lines of shell:
#   TAILRACE_HOME      the checkout of Tailrace, which holds lammps_jobs and client (default: where this file is)
#   TAILRACE_PYTHON    Python 3.9 or later; nothing else need be installed (default: python3). none: lammps_jobs/epilogue.sh, which
#                      needs a shell and curl, reports in its place
#   TAILRACE_URL, TAILRACE_TOKEN, TAILRACE_SPOOL, TAILRACE_CA_FILE, TAILRACE_STREAM, TAILRACE_LOG
conf=${TAILRACE_CONF:-/etc/tailrace/epilogue.conf}
if [ -r "$conf" ]; then
    set -a
    . "$conf"
    set +a
fi
home=${TAILRACE_HOME:-$(cd "$(dirname "$0")/../.." && pwd)}
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
# The epilogue has a deadline of its own, 5 s; this one is for a Python on a file system that hangs.
timeout 60 "${TAILRACE_PYTHON:-python3}" -m "$module" "$@" </dev/null ||
    echo "tailrace: nothing posted: ${TAILRACE_PYTHON:-python3} could not run the epilogue (TAILRACE_PYTHON, TAILRACE_HOME)" >&2
exit 0
