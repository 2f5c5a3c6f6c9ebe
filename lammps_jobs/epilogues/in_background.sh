#!/bin/sh
# Start a report in the background for a site's hook: `setsid -w in_background.sh TAG MODULE ARGUMENTS…` returns immediately.
#
# It needs a session of its own, because Slurm kills the hook's process group when the hook ends. The output of the report goes
# to TAILRACE_EPILOG_LOG, which epilogue.conf may set (default: syslog, by logger). Each line starts with the tag.
conf=${TAILRACE_CONF:-/etc/tailrace/epilogue.conf}
[ -r "$conf" ] && . "$conf"
tag=$1
shift
here=$(dirname "$0")
"$here/report.sh" "$@" 2>&1 </dev/null |
    if [ -n "${TAILRACE_EPILOG_LOG:-}" ]; then
        sed "s/^/$tag: /" >>"$TAILRACE_EPILOG_LOG"
    else
        sed "s/^/$tag: /" | logger -t tailrace-epilog
    fi >/dev/null 2>&1 &
exit 0
