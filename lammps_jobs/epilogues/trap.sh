# For any job script: source this file before LAMMPS runs. The run is then reported when the script ends.
#
#   export TAILRACE_STREAM=lammps-runtime TAILRACE_FEATURES="x y z"
#   . /opt/tailrace/lammps_jobs/epilogues/trap.sh
#
# TAILRACE_LOG is LAMMPS's log (default: log.lammps in the current directory). TAILRACE_FEATURES lists features: name=value, or a
# bare name whose value is read from the log. TAILRACE_HOME is the checkout (default in bash: the one that contains this file;
# in other shells: /opt/tailrace). The script's exit code does not change. If the script has its own trap on EXIT, call
# tailrace_report at the start of it.
if [ -z "${TAILRACE_HOME:-}" ]; then
    TAILRACE_HOME=/opt/tailrace
    if [ -n "${BASH_VERSION:-}" ]; then
        eval 'TAILRACE_HOME=$(CDPATH= cd -- "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)'
    fi
fi
case ${TAILRACE_LOG:=log.lammps} in
/*) ;;
*) TAILRACE_LOG=$PWD/$TAILRACE_LOG ;;
esac
export TAILRACE_HOME TAILRACE_LOG
tailrace_before=$(stat -c '%i %y %s' "$TAILRACE_LOG" 2>/dev/null || :)

tailrace_report() {
    tailrace_status=$?
    trap - EXIT
    set +eu
    if [ -n "$tailrace_before" ] && [ "$tailrace_before" = "$(stat -c '%i %y %s' "$TAILRACE_LOG" 2>/dev/null)" ]; then
        echo "tailrace: nothing posted: $TAILRACE_LOG was there before this job and has not changed" >&2
    else
        # Unquoted, because it is a list.
        "$TAILRACE_HOME/lammps_jobs/epilogues/report.sh" $TAILRACE_FEATURES
    fi
    exit "$tailrace_status"
}
trap tailrace_report EXIT
