#!/bin/sh
# Report a finished LAMMPS job without Python: a POSIX shell, awk, curl and the usual commands are enough.
#
#   /opt/tailrace/lammps_jobs/epilogue.sh --stream lammps-runtime x y z
#
# The last line of a job script, as `python -m lammps_jobs.epilogue`: it reads the Loop time from LAMMPS's log and posts it with the
# features given, within a deadline, and exits with 0 whatever happens. What can't be delivered is kept in the same spool, in the same
# form and under the same key, for `tailrace flush` anywhere or for the next epilogue in Python. docs/epilogues.md says what differs.
#
#   name=value name     features: a value, or what the log says (a variable of the input, steps, atoms, threads)
#   --stream NAME       (TAILRACE_STREAM)            --log FILE     (TAILRACE_LOG, or log.lammps)
#   --key KEY, --step NAME (TAILRACE_STEP)           --since TIME   when the job began: an older log is not its own
#   --source name=value where it came from           --deadline S   seconds for the request and its retries (5)
#   --url URL           (TAILRACE_URL)               --spool DIR    (TAILRACE_SPOOL)
#   --receipt FILE      write the server's answer there
#
# TAILRACE_TOKEN, TAILRACE_CLUSTER, TAILRACE_SPOOL_MB and TAILRACE_CA_FILE count as for the client; all of them may stand in
# TAILRACE_CONF (/etc/tailrace/epilogue.conf), as lines of shell.

trap 'exit 0' EXIT
LC_ALL=C
export LC_ALL
newline='
'

say() { printf 'tailrace: %s\n' "$(printf '%s' "$*" | tr -s '\n\r\t ' '    ')" >&2; }
nothing() { say "nothing posted: $*"; exit 0; }

# --- texts, numbers, JSON

# A text as JSON has it.
quoted() {
    printf '%s\n' "$1" | awk '
        BEGIN { for (i = 1; i < 32; i++) control[sprintf("%c", i)] = sprintf("\\u%04x", i); printf "\"" }
        NR > 1 { printf "\\n" }
        {
            out = ""
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                out = out (c == "\\" || c == "\"" ? "\\" c : c in control ? control[c] : c)
            }
            printf "%s", out
        }
        END { printf "\"" }'
}

matches() { printf '%s\n' "$1" | grep -Eqx -e "$2" && [ "${1#*"$newline"}" = "$1" ]; }
STRING='"([^"\\[:cntrl:]]|\\(["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
NUMBER='[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?'
ZEROS='[+-]?0[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?'

# A number as JSON has it: no plus sign, digits on both sides of a point.
number() {
    digits=${1#+} sign=
    case $digits in -*) sign=- digits=${digits#-} ;; esac
    case $digits in .*) digits=0$digits ;; esac
    mantissa=${digits%%[eE]*}
    exponent=${digits#"$mantissa"}
    case $mantissa in *.) mantissa=${mantissa}0 ;; esac
    printf '%s' "$sign$mantissa$exponent"
}

# What a value of a name stands for: `json`, and `open` where the stream decides what it is (see docs/posting.md).
read_value() {
    open=
    if [ "${#2}" -ge 2 ] && [ "${2#\"}" != "$2" ] && [ "${2%\"}" != "$2" ]; then
        matches "$2" "$STRING" || nothing "$1 is $2: expected a text in double quotes as JSON has it, such as \"007\""
        json=$2
        return
    fi
    case $2 in true | false) json=$2 open=yes; return ;; esac
    if matches "$2" "$NUMBER"; then
        awk -v text="$2" 'BEGIN { v = text + 0; exit v != 0 && v == 2 * v }' || nothing "$1 is $2: expected a finite number"
        json=$(number "$2") open=yes
        return
    fi
    if matches "$2" "[+-]?([nN][aA][nN]|[iI][nN][fF]([iI][nN][iI][tT][yY])?)"; then
        nothing "$1 is $2: expected a finite number; a text is quoted, as in $1='\"$2\"'"
    fi
    if matches "$2" "$ZEROS"; then open=yes; fi
    json=$(quoted "$2")
}

# `name=value` or `name:=JSON`: `name`, `text`, `json` and `open`.
read_pair() {
    name=${1%%=*} text=${1#*=}
    [ -n "$name" ] && [ "$name" != "$1" ] || nothing "'$1' is no $2: expected name=value, such as x=8"
    case $name in
    ?*:)
        name=${name%:} open=
        matches "$text" "$STRING|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false" ||
            nothing "$name is $text: expected a text, a number, true or false as JSON has it"
        json=$text
        ;;
    :) nothing "'$1' is no $2: expected name=value, such as x=8" ;;
    *) read_value "$name" "$text" ;;
    esac
}

# FNV-1a of 128 bits of standard input, as 32 hexadecimal digits: four parts of 32 bits, the prime being 2^88 + 315.
fingerprint() {
    a=$((0x6C62272E)) b=$((0x07BB0142)) c=$((0x62B82175)) d=$((0x6295C58D)) all=$((0xFFFFFFFF))
    for byte in $(od -An -v -tu1); do
        d=$((d ^ byte))
        low=$((d * 315))
        next=$((c * 315 + (low >> 32)))
        third=$((b * 315 + (next >> 32) + ((d << 24) & all)))
        a=$(((a * 315 + (third >> 32) + ((c << 24) & all) + (d >> 8)) & all))
        d=$((low & all)) c=$((next & all)) b=$((third & all))
    done
    printf '%08x%08x%08x%08x' "$a" "$b" "$c" "$d"
}

# --- which job this is, and its key: as client/tailrace/keys.py says

job_name() {
    jobs=
    number=${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-}}
    if [ -n "$number" ]; then
        job "slurm:${TAILRACE_CLUSTER:-${SLURM_CLUSTER_NAME:-}}:$number" "${SLURM_ARRAY_TASK_ID:-}"
        case ${SLURM_RESTART_COUNT:-0} in 0) ;; *) jobs=$jobs:restart$SLURM_RESTART_COUNT ;; esac
    fi
    if [ -n "${LSB_JOBID:-}" ]; then
        task=${LSB_JOBINDEX:-}
        [ "$task" = 0 ] && task=
        job "lsf:${TAILRACE_CLUSTER:-${LSF_CLUSTER_NAME:-}}:$LSB_JOBID" "$task"
        [ "${LSB_RESTART:-}" = Y ] && jobs=$jobs:restarted
    fi
    if [ -n "${PBS_JOBID:-}" ]; then
        task=${PBS_ARRAY_INDEX:-${PBS_ARRAYID:-}}
        case $PBS_JOBID in *\[*) task= ;; esac
        job "pbs:${TAILRACE_CLUSTER:-}:$PBS_JOBID" "$task"
    fi
    if [ -n "${FLUX_JOB_ID:-}" ]; then
        instance=$(flux_instance)
        job "flux:${TAILRACE_CLUSTER:-}:${instance:+$instance/}$(plain_f "$FLUX_JOB_ID")" ""
    fi
    printf '%s' "$jobs"
}
job() { jobs=${jobs:+$jobs/}$1${2:+:task$2}; }

# Flux writes an id with a hooked f where the locale has it.
plain_f() { printf '%s' "$1" | sed "s/$(printf '\306\222')/f/g"; }

flux_instance() {
    above=$(plain_f "${FLUX_JOB_ID_PATH:-}" | tr -s / | sed 's:^/::; s:/$::')
    case $above in
    */*) printf '%s' "${above%/*}"; return ;;
    esac
    socket=${FLUX_URI:-}
    case $socket in *://*) socket=${socket#*://} ;; *) return ;; esac
    case $socket in */*) ;; *) return ;; esac
    directory=/${socket#*/}
    directory=${directory%/*}
    case $(printf '%s' "$directory" | sed 's:^/*::') in
    '' | run/flux) ;;
    *) printf '%s' "$directory" | fingerprint | cut -c 1-12 ;;
    esac
}

# A key of at most 200 characters (not bytes); a longer one ends with its fingerprint.
cut_key() {
    if [ "$(printf '%s' "$1" | tr -d '\200-\277' | wc -c)" -le 200 ]; then
        printf '%s' "$1"
        return
    fi
    print_begin=$(printf '%s' "$1" | awk '{
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (c < "\200" || c > "\277") { if (++count > 167) break }
            printf "%s", c
        }
    }')
    printf '%s:%s' "$print_begin" "$(printf '%s' "$1" | fingerprint)"
}

key_of_log() {
    digest=$(tail -c 65536 <"$1" | { sha256sum 2>/dev/null || openssl dgst -sha256 -r; } | cut -c 1-32)
    [ "${#digest}" = 32 ] || nothing "there is neither sha256sum nor openssl to name $1 by: give it a --key"
    printf 'log:%s' "$digest"
}

# --- what the log says: as lammps_jobs/log.py and echo.py read it. A line `name value` for each fact, `v name value` for variables

READ_LOG='
function trimmed(s) { gsub(/^[ \t\r\f\v]+|[ \t\r\f\v]+$/, "", s); return s }
function fail(why) { if (failure == "") failure = why }
function where(  h, r) {
    split(last_row, r); split(header, h)
    return r[1] ~ /^[0-9]+$/ && h[1] == "Step" ? "at step " r[1] : "during a run"
}
function begin(its_version) {
    version = its_version; failure = wall = header = last_row = log_command = last_line = expected = ""
    runs = in_run = partitions = moved = 0; threads = 1; total = ""; cpu = ""; split("", value); names = 0
}
function row(line,  low, from) {
    if (header == "") header = line
    last_row = line
    if (index(line, "nan") || index(line, "inf")) {
        low = tolower(line)
        if (match(low, /(^|[[ \t=,])[-+]?(nan|inf)($|[] \t\r,])/)) {
            from = trimmed(substr(line, RSTART, RLENGTH)); gsub(/[],=[]/, "", from)
            fail("the run diverged: its output shows " from " " where())
        }
    }
}
# The first variable that LAMMPS will put a value in for: before, variable, after. What is in quotes or a comment does not count.
function reference(command,  i, c, quote, rest, size, at, name) {
    at = 0; quote = ""
    for (i = 1; i <= length(command); i++) {
        c = substr(command, i, 1); size = 1; rest = substr(command, i)
        if (c == "$") {
            if (match(rest, /^\$\{[A-Za-z0-9_]+\}/)) size = RLENGTH
            else if (match(rest, /^\$[A-Za-z0-9_]/)) size = 2
        } else if (c != "#" && c != "\"" && c != SINGLE) continue
        if (quote != "") { if (c == quote && size == 1) quote = "" }
        else if (c == "#") { command = substr(command, 1, i - 1); sub(/[ \t\r\f\v]+$/, "", command); break }
        else if (c != "$") quote = c
        else if (!at) {
            if (size == 1) return 0
            at = i; name = substr(rest, 2, size - 1); gsub(/[{}]/, "", name); variable = name; width = size
        }
        i += size - 1
    }
    if (!at) return 0
    before = substr(command, 1, at - 1); after = substr(command, at + width)
    return 1
}
function echo(line,  size) {
    sub(/[ \t\r\f\v]+$/, "", line)
    if (expected && length(line) >= length(before) + length(after) && substr(line, 1, length(before)) == before) {
        size = length(line) - length(after)
        if (substr(line, size + 1) == after && !(variable in value)) {
            value[variable] = substr(line, length(before) + 1, size - length(before)); name_of[++names] = variable
        }
    }
    expected = reference(line)
}
function outside(line,  t) {
    t = trimmed(line)
    if (t != "") last_line = t
    if (line ~ /^[ \t]*(using|set) [0-9]+ OpenMP thread\(s\) per MPI task/) { split(t, word); threads = word[2] > 1 ? word[2] + 0 : 1 }
    else if (line ~ /^Running on [0-9]+ partitions of processors/) { split(line, word); partitions = word[3] }
    else if (line ~ /^log[ \t]+[^ \t#]+([ \t]+append)?[ \t\r]*(#.*)?$/) { t = line; sub(/#.*/, "", t); log_command = trimmed(t) }
    else echo(line)
}
function loop(line,  n) {
    in_run = 0
    if (line !~ /^Loop time of [0-9]+(\.[0-9]+)?(e[-+][0-9]+)? on [0-9]+ procs for [0-9]+ steps with [0-9]+ atoms/) {
        fail("a line of the log can not be read: " trimmed(line)); return
    }
    split(line, word); n = threads; if (word[6] % n) n = 1
    total = runs ? sprintf("%.17g", total + word[4]) : word[4]
    runs++; steps = (runs > 1 ? steps : 0) + word[9]; atoms = word[12]; processes = word[6] / n; its_threads = n; cpu = last_line = ""
    if (word[9] > 0) moved = 1
}
function missing() {
    if (version == "" && !started) {
        if (!lines) return "the log is empty: LAMMPS never started, or its output went elsewhere"
        if (runs || wall != "") return "the log begins in the middle, as a file does that the log command of the input began: " WHOLE
        return "this is not a log of LAMMPS: no line starts with LAMMPS ("
    }
    if (partitions) return "LAMMPS ran on " partitions " partitions, and each wrote a log of its own: this one with .0 to ." (partitions - 1) " added to its name; report each, with --log NAME.0 --step 0 and so on"
    if (log_command != "") return "the command " log_command " of the input sends what follows elsewhere: " WHOLE
    if (wall == "") {
        if (!in_run && last_line ~ /^quit([ \t]+[^ \t#]+)?[ \t]*(#.*)?$/) {
            rest = last_line; sub(/^quit[ \t]*/, "", rest); sub(/[ \t]*(#.*)?$/, "", rest)
            if (rest != "" && rest != "0") return "the input stopped LAMMPS itself: " last_line
        } else return "the log breaks off" (in_run ? " " where() : "") ": the job was killed, crashed, or is still running"
    }
    if (!moved) return "LAMMPS ended well, but its input never ran a step"
    return ""
}
BEGIN { WHOLE = "leave the command out, or report what LAMMPS printed, which is whole"; SINGLE = sprintf("%c", 39); begin("") }
/^LAMMPS \(/ { t = trimmed($0); t = substr(t, 9); sub(/\)+$/, "", t); begin(t); started = 1; next }
{
    lines++
    if (in_run && substr($0, 1, 1) <= "9") row($0)
    else if (/^Loop time of /) loop($0)
    else if (/^ERROR/) fail("LAMMPS stopped with " trimmed($0))
    else if (/^(WARNING: )?Wall time limit reached/) fail("the run reached its time limit (timer timeout) " where())
    else if (/^Fix halt condition/) fail("the run was halted early: " trimmed($0))
    else if (/^(Per MPI rank memory|Memory usage per processor)/) { in_run = 1; header = last_row = "" }
    else if (/^Total wall time: /) {
        if (match($4, /^[0-9]+:[0-9][0-9]:[0-9][0-9]/)) { split($4, word, ":"); wall = word[1] * 3600 + word[2] * 60 + substr(word[3], 1, 2) }
    }
    else if (runs && /^Performance: /) ;
    else if (runs && index($0, "% CPU use with ")) {
        if (/^[0-9]+(\.[0-9]+)?% CPU use with [0-9]+ MPI tasks x ([0-9]+|no) OpenMP threads/) {
            cpu = $1; sub(/%/, "", cpu); processes = $5; its_threads = $9 == "no" ? 1 : $9
        }
    }
    else if (!in_run) outside($0)
    else if (!/^WARNING/) row($0)
}
END {
    if (failure == "") failure = missing()
    print "failure " failure; print "version " version; print "wall_time " wall
    if (runs) {
        print "loop_time " total; print "steps " steps; print "atoms " atoms
        print "processes " processes; print "threads " its_threads; print "cpu_use " cpu
    }
    for (i = 1; i <= names; i++) print "v " name_of[i] " " value[name_of[i]]
}'

fact() { printf '%s\n' "$report" | sed -n "s/^$1 //p" | head -n 1; }
or_null() { if [ -n "$1" ]; then printf '%s' "$1"; else printf null; fi; }

# --- features and source, each as the inside of a JSON object

add() { [ -z "$1" ] || printf '%s, ' "$1"; printf '%s: %s' "$(quoted "$2")" "$3"; }

add_feature() { # name, json, text or nothing
    case $seen in
    *"$newline$1$newline"*)
        [ -z "$4" ] || nothing "$1 is given twice"
        return
        ;;
    esac
    seen=$seen$1$newline
    x=$(add "$x" "$1" "$2")
    [ -z "$3" ] || texts=$(add "$texts" "$1" "$(quoted "$3")")
}

from_log() {
    case $1 in *[!A-Za-z0-9_]* | '') found= ;; *) found=$(printf '%s\n' "$report" | grep -e "^v $1 ") ;; esac
    if [ -n "$found" ]; then
        text=${found#"v $1 "}
        read_value "$1" "$text"
        add_feature "$1" "$json" "${open:+$text}" ""
        return
    fi
    case $1 in
    steps | atoms | threads) add_feature "$1" "$(fact "$1")" "" "" ;;
    processes) ;;
    *)
        shown=$(printf '%s\n' "$report" | sed -n 's/^v \([^ ]*\) .*/\1/p' | tr '\n' ' ')
        nothing "'$1' is no variable that the log shows (${shown:-none}): give it as $1=value"
        ;;
    esac
}

add_source() {
    read_pair "$1" source
    case $1 in
    "$name:="*) ;;
    *) matches "$text" '-?(0|[1-9][0-9]*)|true|false|".*"' || json=$(quoted "$text") ;;
    esac
    source=$(add "$source" "$name" "$json")
}

# --- the spool: as client/tailrace/pending.py and spool.py have it

write_part() { (set -C && printf '%s' "$content" >"$part") 2>/dev/null; }

is_full() {
    { ls -1 "$spool" | sed -n 's/^[^.-]*-\([0-9]*\)-.*\.json$/\1/p'; ls -ln "$spool/refused" | awk 'NF > 8 { print $5 }'; } 2>/dev/null |
        awk -v most="$1" '{ b = int(($1 + 4095) / 4096); taken += (b < 1 ? 1 : b) * 4096 } END { exit taken < most * 1048576 }'
}

lost() { say "not delivered: $reason; not kept either ($1): {\"stream\": $(quoted "$stream"), \"observation\": $observation}"; exit 0; }

keep() { # sets `kept`; ends with the observation on standard error where the disk doesn't take it
    most=${TAILRACE_SPOOL_MB:-1024}
    matches "$most" '[0-9]+(\.[0-9]*)?' || most=1024
    [ -f "$part" ] || write_part || lost "the spool can't be written: $spool"
    if is_full "$most"; then
        rm -f "$part"
        lost "the spool $spool holds the $most MB that it may: run \`tailrace flush\`, or raise TAILRACE_SPOOL_MB"
    fi
    dd if=/dev/null of="$part" conv=notrunc,fsync 2>/dev/null || lost "the spool can't be written: $spool"
    written=$(date -r "$part" +%s%N)
    case $written in *[!0-9]* | '') written=$(stat -c %Y "$part" 2>/dev/null || date +%s)000000000 ;; esac
    kept=$spool/$(printf '%020d' "$written")-$(($(wc -c <"$part")))-$digest.json
    mv "$part" "$kept" 2>/dev/null || lost "the spool can't be written: $spool"
    timeout 5 sync "$spool" 2>/dev/null
}

set_aside() {
    mkdir -p "$spool/refused" && printf '%s\n' "$reason" >"$spool/refused/$digest.reason" &&
        mv "$kept" "$spool/refused/$digest.json" && kept=$spool/refused/$digest.json
} 2>/dev/null

# --- the request

now() { # milliseconds
    moment=$(date +%s%N)
    case $moment in *[!0-9]*) printf '%s000' "$(date +%s)" ;; *) printf '%s' "${moment%??????}" ;; esac
}
seconds() { printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)); }
line() { printf '%s = "%s"\n' "$1" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g')"; }

path_of() {
    case $1 in
    . | .. | *[!A-Za-z0-9_.-]*)
        for byte in $(printf '%s' "$1" | od -An -v -tu1); do
            case $(printf "\\$(printf '%03o' "$byte")") in
            [A-Za-z0-9_~-]) printf "\\$(printf '%03o' "$byte")" ;;
            *) printf '%%%02X' "$byte" ;;
            esac
        done
        ;;
    *) printf '%s' "$1" ;;
    esac
}

# One try. What curl is told goes by standard input: the token stands on no command line.
try() {
    answer=$({
        line url "$url/api/v1/streams/$(path_of "$stream")/observations/"
        line request POST
        line header "Content-Type: application/json"
        line header "Accept: application/json"
        line header "User-Agent: tailrace-epilogue-sh"
        line header "Expect:"
        [ -z "$token" ] || line header "Authorization: Bearer $token"
        [ -z "${TAILRACE_CA_FILE:-}" ] || line cacert "$TAILRACE_CA_FILE"
        line noproxy "localhost,127.0.0.1,::1${NO_PROXY:+,$NO_PROXY}${no_proxy:+,$no_proxy}"
        line max-time "$(seconds "$1")"
        line data-binary "$observation"
        printf 'silent\ngloboff\ninclude\nwrite-out = "\\n%%{http_code}"\n'
    } | curl -q -K - 2>/dev/null)
    result=$?
    status=${answer##*"$newline"}
    # The last head, and what follows it.
    heads=$(printf '%s\n' "${answer%"$newline"*}" | awk 'begun == 0 && !/^HTTP\// { exit } { begun = 1; sub(/\r$/, ""); if ($0 == "") begun = 0; print }')
    body=$(printf '%s\n' "${answer%"$newline"*}" | awk 'over { print; next } begun == 0 && !/^HTTP\// { over = 1; print; next } { begun = 1; sub(/\r$/, ""); if ($0 == "") begun = 0 }')
    pause=$(printf '%s\n' "$heads" | awk 'tolower($1) == "retry-after:" && $2 ~ /^[0-9]+$/ { found = $2 } END { print found + 0 }')
}

# `code` or `message` of an error in Tailrace's own shape; nothing of any other answer.
of_error() { printf '%s' "$body" | sed -n 's/^{"error": *{"code": *"\([a-z_]*\)", *"message": *"\(\([^"\\]\|\\.\)*\)".*/\'"$1"'/p' | sed 's/\\\(["\\/]\)/\1/g'; }

# Whether the point itself is at fault: the same table as client/tailrace/errors.py has.
is_for_good() {
    case $status:$(of_error 1) in
    400:empty | 400:invalid | 400:missing | 400:not_an_object | 400:not_json | 400:refused | 400:unknown_field) ;;
    409:conflict | 410:gone | 413:too_large | 415:unsupported_media_type) ;;
    *) return 1 ;;
    esac
}

post() { # 0: delivered; 1: `reason` says why not
    ends=$(($(now) + deadline)) tries=0 step_ms=50 reason=
    while :; do
        tries=$((tries + 1)) wait=0 most=8
        left=$((ends - $(now)))
        try $((left > 10 ? left : 10))
        if [ "$result" = 0 ] && [ "$status" -ge 200 ] && [ "$status" -lt 300 ]; then
            number=$(printf '%s' "$body" | sed -n 's/^{"first": *[0-9]*, *"last": *\([0-9]*\),.*/\1/p')
            [ -n "$number" ] && return 0
            reason="$url: it answered $status with something else: is this a Tailrace server?"
            return 1
        fi
        case $result in
        0)
            message=$(of_error 2)
            said="$url: it answered $status${message:+: $message}"
            if [ "$status" -lt 500 ] && [ "$status" != 429 ]; then reason=$said; return 1; fi
            wait=$((pause * 1000))
            ;;
        6) said="$url: its name can't be looked up" most=2 ;;
        7) said="$url: nothing listens there (connection refused)" most=2 ;;
        28) said="$url: it did not answer in time" ;;
        60 | 51 | 77) said="$url: its certificate isn't trusted: set TAILRACE_CA_FILE to your site's authority" most=1 ;;
        127) reason="there is no curl" && return 1 ;;
        *) said="$url: no answer (curl's exit code $result)" ;;
        esac
        # That the time ran out in the last try explains nothing.
        [ "$result" = 28 ] && [ -n "$reason" ] || reason=$said
        # Drawn at random, so that a thousand jobs that end at once don't come back at once.
        drawn=$((step_ms * (256 + $(od -An -N1 -tu1 /dev/urandom)) / 512))
        [ "$wait" -ge "$drawn" ] || wait=$drawn
        if [ "$tries" -ge "$most" ] || [ $(($(now) + wait)) -ge "$ends" ]; then
            [ "$tries" = 1 ] || reason="$reason ($tries tries)"
            return 1
        fi
        sleep "$(seconds "$wait")" 2>/dev/null || sleep 1
        step_ms=$((step_ms * 2)) && [ "$step_ms" -le 1000 ] || step_ms=1000
    done
}

# --- the command line

conf=${TAILRACE_CONF:-/etc/tailrace/epilogue.conf}
if [ -r "$conf" ]; then
    set -a
    . "$conf"
    set +a
fi
# curl reads the name in lower case alone.
if [ -z "${http_proxy:-}" ] && [ -n "${HTTP_PROXY:-}" ]; then export http_proxy="$HTTP_PROXY"; fi
stream=${TAILRACE_STREAM:-} log=${TAILRACE_LOG:-log.lammps} url=${TAILRACE_URL:-http://127.0.0.1:8080} token=${TAILRACE_TOKEN:-}
spool=${TAILRACE_SPOOL:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/tailrace/spool}
key= step=${TAILRACE_STEP:-} named= since= receipt= deadline=5 bare= given= sources=
while [ $# -gt 0 ]; do
    case $1 in
    --*=*) option=${1%%=*} value=${1#*=} ;;
    --*)
        option=$1 value=${2-}
        [ $# -gt 1 ] || nothing "$1 wants a value, or there is no such option"
        shift
        ;;
    *)
        case $1 in *"$newline"*) nothing "a feature holds a line break" ;; esac
        case $1 in *=*) given=$given$1$newline ;; *) bare=$bare$1$newline ;; esac
        shift
        continue
        ;;
    esac
    shift
    case $option in
    --stream) stream=$value ;;
    --log) log=$value ;;
    --key) key=$value ;;
    --step) step=$value named=$value ;;
    --since) since=$value ;;
    --source) sources=$sources$value$newline ;;
    --url) url=$value ;;
    --spool) spool=$value ;;
    --receipt) receipt=$value ;;
    --deadline)
        matches "$value" '[0-9]*\.?[0-9]+' || nothing "'$value' is no time: expected seconds, more than 0"
        deadline=$value
        ;;
    *) nothing "there is no option $option here: lammps_jobs/epilogue.sh says in its first lines which there are" ;;
    esac
done
deadline=$(awk -v s="$deadline" 'BEGIN { printf "%d", s * 1000 }')
[ "$deadline" -gt 0 ] || nothing "the deadline is 0: expected seconds, more than 0"
[ -n "$stream" ] || nothing "no stream is named: --stream, or TAILRACE_STREAM"

# --- the log

if ! { [ -f "$log" ] || [ -p "$log" ]; } || ! [ -r "$log" ]; then nothing "the log can't be read: $log"; fi
report=$(awk "$READ_LOG" <"$log") || nothing "the log can't be read: $log"
failure=$(fact failure)
[ -z "$failure" ] || nothing "$log: $failure"
case $since in
'' | Unknown | None | N/A) ;;
*)
    case $since in *[!0-9.]*) began=$(date -d "$since" +%s 2>/dev/null) ;; *) began=${since%%.*} ;; esac
    [ -n "$began" ] || nothing "'$since' is no time: expected such as 2026-11-21T07:13:27, or seconds since 1970"
    # By the clock that dates the files there: a file server's may differ from this machine's.
    probe=$(dirname "$log")/.tailrace.$$.clock
    if (set -C && : >"$probe") 2>/dev/null; then
        offset=$(($(date -r "$probe" +%s) - $(date +%s)))
        rm -f "$probe"
        case $offset in 0 | 1 | -1) ;; *) began=$((began + offset - 1)) ;; esac
    fi
    [ "$(date -r "$log" +%s)" -ge "$began" ] ||
        nothing "$log is older than the job, which began after it was last written: LAMMPS did not start, or wrote another log"
    ;;
esac

# --- the observation

processes=$(fact processes) x= texts= seen=$newline overridden=
while IFS= read -r word; do
    case $word in processes=* | processes:=*) overridden=$word ;; esac
done <<END
$given
END
if [ -n "$overridden" ]; then
    read_pair "$overridden" feature
    [ "$json" = "$processes" ] || nothing "LAMMPS ran on $processes processes, not on $text: what started it and the MPI that it was built with don't go together"
fi
x=$(add "" processes "$processes")
while IFS= read -r word; do
    # A value that is given stands before one of the log.
    case "$newline$given" in *"$newline$word="* | *"$newline$word:="*) continue ;; esac
    [ -z "$word" ] || from_log "$word"
done <<END
$bare
END
while IFS= read -r word; do
    [ -n "$word" ] || continue
    read_pair "$word" feature
    [ "$name" = processes ] || add_feature "$name" "$json" "${open:+$text}" given
done <<END
$given
END

job_id=$(job_name)
host=$(uname -n)
source=
source=$(add "$source" program '"lammps"')
version=$(fact version)
if [ -n "$version" ]; then version=$(quoted "$version"); else version=null; fi
source=$(add "$source" version "$version")
for name in atoms steps threads wall_time cpu_use; do source=$(add "$source" "$name" "$(or_null "$(fact $name)")"); done
source=$(add "$source" host "$(quoted "$host")")
[ -z "$job_id" ] || source=$(add "$source" job "$(quoted "$job_id")")
while IFS= read -r word; do
    [ -z "$word" ] || add_source "$word"
done <<END
$sources
END

hint=
if [ -z "$key" ]; then
    [ -z "$job_id" ] || [ -n "$step" ] || hint=" (another run of the same job needs a name: --step NAME)"
    if [ -n "$job_id" ]; then key=$(cut_key "$job_id${step:+:$step}"); else key=$(key_of_log "$log"); fi
    [ -n "$key" ] || exit 0
    [ -n "$job_id" ] || key=$key${named:+:$named}
fi
observation="{\"x\": {$x}, \"y\": $(fact loop_time), \"key\": $(quoted "$key"), \"source\": {$source}"
[ -z "$texts" ] || observation="$observation, \"written\": {\"x\": {$texts}}"
observation="$observation}"

# --- its way: to disk, to the server, off the disk again

case $spool in '~'/*) spool=${HOME:-}${spool#'~'} ;; /*) ;; *) spool=$PWD/$spool ;; esac
while [ "${url%/}" != "$url" ]; do url=${url%/}; done
content="{\"stream\": $(quoted "$stream"), \"server\": $(quoted "${url##*@}"), \"observation\": $observation}"
digest=$(printf '%s\000%s' "$stream" "$key" | fingerprint)
part=$spool/.$digest.$host.$$.$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n').part
mkdir -p "$spool" 2>/dev/null
write_part
if ! matches "$url" '[hH][tT][tT][pP][sS]?://[^[:space:]"@?#]+'; then
    reason="'$url' is no server's address: expected something like http://127.0.0.1:8080"
elif [ -n "$token" ] && ! matches "$token" '[!-~]+'; then
    reason="the token holds a character that can't stand in a header, such as a blank or a line break"
elif post; then
    rm -f "$part"
    if printf '%s' "$body" | grep -q '^{"first": *[0-9]*, *"last": *[0-9]*, *"accepted": *0,'; then
        said="observation $number of $stream was known before, and nothing was added$hint"
    else
        said="observation $number of $stream: $(fact loop_time)"
    fi
    { printf 'tailrace: %s\n' "$said"; } 2>/dev/null
    if [ -n "$receipt" ]; then
        { printf '%s\n' "$body" >"$receipt.$$.part" && mv "$receipt.$$.part" "$receipt"; } 2>/dev/null ||
            say "delivered, but the receipt can't be written: $receipt"
    fi
    new=$(printf '%s' "$body" | sed -n 's/.*"new_stream": *{.*"message": *"\([^"\\]*\)".*/\1/p')
    [ -z "$new" ] || say "$new"
    exit 0
fi
keep
if is_for_good && set_aside; then
    say "refused for good: $reason; kept as $kept"
else
    say "not delivered: $reason; kept as $kept for the next epilogue or \`tailrace flush\`"
fi
exit 0
