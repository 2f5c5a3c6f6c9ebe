#!/bin/sh
# What a site's hook leaves behind: `setsid -w in_background.sh TAG MODULE ARGUMENTS…` starts a report and returns at once.
#
# It must be in a session of its own before the hook ends: Slurm then kills the hook's process group. What the report says
# goes to TAILRACE_EPILOG_LOG, which epilogue.conf may set (default: syslog, by logger), with the tag before it.
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
