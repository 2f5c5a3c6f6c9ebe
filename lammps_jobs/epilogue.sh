#!/bin/sh
# Report a finished LAMMPS job without Python: a POSIX shell, awk, curl and the usual commands are enough.
#
#   /opt/tailrace/lammps_jobs/epilogue.sh --stream lammps-runtime x y z
#
# Use it as the last line of a job script, like `python -m lammps_jobs.epilogue`. It reads the Loop time from LAMMPS's log and posts it
# with the given features, within a deadline, and always exits with 0. An observation that can't be delivered is kept in the same spool,
# in the same format and with the same key. `tailrace flush` or the next epilogue in Python delivers it. docs/how-to/epilogues.md
# lists the differences.
#
#   name=value name     features: a given value, or one from the log (a variable of the input, steps, atoms, threads)
#   --stream NAME       (TAILRACE_STREAM)            --log FILE     (TAILRACE_LOG, or log.lammps)
#   --key KEY, --step NAME (TAILRACE_STEP)           --since TIME   when the job began; an older log is not reported
#   --source name=value origin of the observation    --deadline S   seconds for the request and its retries (5)
#   --url URL           (TAILRACE_URL)               --spool DIR    (TAILRACE_SPOOL)
#   --receipt FILE      write the server's answer to this file
#
# TAILRACE_TOKEN, TAILRACE_CLUSTER, TAILRACE_SPOOL_MB and TAILRACE_CA_FILE have the same meaning as for the client. The file
# TAILRACE_CONF (/etc/tailrace/epilogue.conf) may set any of these variables, as lines of shell.

trap 'exit 0' EXIT
LC_ALL=C
export LC_ALL
newline='
'

say() { printf 'tailrace: %s\n' "$(printf '%s' "$*" | tr -s '\n\r\t ' '    ')" >&2; }
nothing() { say "nothing posted: $*"; exit 0; }

# --- texts, numbers, JSON

# Prints a text as a JSON string.
quoted() {
    printf '%s\n' "$1" | awk '
        BEGIN {
            for (i = 1; i < 32; i++) control[sprintf("%c", i)] = sprintf("\\u%04x", i)
            for (i = 128; i < 256; i++) byte[sprintf("%c", i)] = sprintf("\\\\x%02x", i)
            more = "[\200-\277]"
            utf8 = "^([\302-\337]" more "|\340[\240-\277]" more "|[\341-\354\356\357]" more more "|\355[\200-\237]" more
            utf8 = utf8 "|\360[\220-\277]" more more "|[\361-\363]" more more more "|\364[\200-\217]" more more ")"
            printf "\""
        }
        NR > 1 { printf "\\n" }
        {
            out = ""
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (!(c in byte)) out = out (c == "\\" || c == "\"" ? "\\" c : c in control ? control[c] : c)
                else if (match(substr($0, i, 4), utf8)) { out = out substr($0, i, RLENGTH); i += RLENGTH - 1 }
                else out = out byte[c]  # not UTF-8, which JSON could not hold
            }
            printf "%s", out
        }
        END { printf "\"" }'
}

matches() { printf '%s\n' "$1" | grep -Eqx -e "$2" && [ "${1#*"$newline"}" = "$1" ]; }
STRING='"([^"\\[:cntrl:]]|\\(["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
NUMBER='[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?'
ZEROS='[+-]?0[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?'

# Prints a number in JSON notation: no plus sign, digits on both sides of the point.
number() {
    digits=${1#+} sign=
    case $digits in -*) sign=- digits=${digits#-} ;; esac
    case $digits in .*) digits=0$digits ;; esac
    mantissa=${digits%%[eE]*}
    exponent=${digits#"$mantissa"}
    case $mantissa in *.) mantissa=${mantissa}0 ;; esac
    printf '%s' "$sign$mantissa$exponent"
}

is_finite() { awk -v text="$1" 'BEGIN { v = text + 0; exit v != 0 && v == 2 * v }'; }

# Reads the value of a name. Sets `json`, and `open` if the stream decides the type (see docs/how-to/posting.md).
read_value() {
    open=
    if [ "${#2}" -ge 2 ] && [ "${2#\"}" != "$2" ] && [ "${2%\"}" != "$2" ]; then
        matches "$2" "$STRING" || nothing "$1 is $2: expected a text in double quotes as JSON has it, such as \"007\""
        json=$2
        return
    fi
    case $2 in true | false) json=$2 open=yes; return ;; esac
    if matches "$2" "$NUMBER"; then
        is_finite "$2" || nothing "$1 is $2: expected a finite number"
        json=$(number "$2") open=yes
        return
    fi
    if matches "$2" "[+-]?([nN][aA][nN]|[iI][nN][fF]([iI][nN][iI][tT][yY])?)"; then
        nothing "$1 is $2: expected a finite number; write text in quotes, as in $1='\"$2\"'"
    fi
    if matches "$2" "$ZEROS"; then open=yes; fi
    json=$(quoted "$2")
}

# Reads `name=value` or `name:=JSON`. A feature has a value. Sets `name`, `text`, `json` and `open`.
read_pair() {
    name=${1%%=*} text=${1#*=}
    [ -n "$name" ] && [ "$name" != "$1" ] || nothing "'$1' is not a $2: expected name=value, such as x=8"
    if [ -z "$text" ] && [ "$2" = feature ]; then
        nothing "${name%:} has no value: expected ${name%:}=VALUE (is a variable of the shell not set?); write empty text as ${name%:}='\"\"'"
    fi
    case $name in
    ?*:)
        name=${name%:} open=
        matches "$text" "$STRING|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false" ||
            nothing "$name is $text: expected a text, a number, true or false as JSON has it"
        case $text in [-0-9]*) is_finite "$text" || nothing "$name is $text: expected a finite number" ;; esac
        json=$text
        ;;
    :) nothing "'$1' is not a $2: expected name=value, such as x=8" ;;
    *)
        # A number is one with blanks around it, too.
        inner=$text
        while :; do case $inner in [[:blank:]]*) inner=${inner#?} ;; *[[:blank:]]) inner=${inner%?} ;; *) break ;; esac; done
        if [ "$inner" != "$text" ] && matches "$inner" "$NUMBER"; then text=$inner; fi
        read_value "$name" "$text"
        ;;
    esac
}

# Prints the 128-bit FNV-1a hash of standard input as 32 hexadecimal digits. It uses four parts of 32 bits; the prime is 2^88 + 315.
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

# --- the job's name and key, as in client/tailrace/observations/idempotency_keys.py

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
    elif [ -n "${FLUX_ENCLOSING_ID:-}" ]; then
        job "flux:${TAILRACE_CLUSTER:-}:$(flux_script)" ""
    fi
    printf '%s' "$jobs"
}
job() { jobs=${jobs:+$jobs/}$1${2:+:task$2}; }

# Flux writes ids with the letter "f with hook" if the locale has it.
plain_f() { printf '%s' "$1" | sed "s/$(printf '\306\222')/f/g"; }

flux_path() { plain_f "$1" | tr -s / | sed 's:^/::; s:/$::'; }

# The script of a batch job has no job id, but only that of the instance that was started for it.
flux_script() {
    number=$(plain_f "$FLUX_ENCLOSING_ID")
    path=$(flux_path "$(timeout 1 flux getattr jobid-path 2>/dev/null </dev/null)")
    case /$path in
    */"$number") printf '%s' "$path"; return ;;
    esac
    socket=$(FLUX_JOB_ID_PATH='' && flux_instance)
    printf '%s:%s' "$number" "${socket:-script}"
}

flux_instance() {
    above=$(flux_path "${FLUX_JOB_ID_PATH:-}")
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

# Prints a digest of the end of a log, which contains the timings, so that it differs between runs. Nothing if no program can make one.
digest_of_log() { tail -c 65536 <"$1" | { sha256sum 2>/dev/null || openssl dgst -sha256 -r; } 2>/dev/null | cut -c 1-32; }

key_of_log() {
    digest=$(digest_of_log "$1")
    [ "${#digest}" = 32 ] || nothing "neither sha256sum nor openssl is installed to make a key for $1: give it a --key"
    printf 'log:%s' "$digest"
}

# --- the log, read as in lammps_jobs/logs/. Prints a line `name value` for each fact, `v name value` for each variable, and
# `several name value, value` for a variable that had different values

READ_LOG='
function trimmed(s) { gsub(/^[ \t\r\f\v]+|[ \t\r\f\v]+$/, "", s); return s }
function fail(why) { if (failure == "") failure = why }
function step(  h, r) {
    split(last_row, r); split(header, h)
    return r[1] ~ /^[0-9]+$/ && h[1] == "Step" ? r[1] + 0 : -1
}
function where() { return step() < 0 ? "during a run" : "at step " sprintf("%.0f", step()) }
function begin(its_version) {
    version = its_version; failure = wall = header = last_row = log_command = last_line = expected = ""
    runs = in_run = partitions = moved = 0; threads = 1; total = ""; cpu = ""; split("", value); names = 0
    error = print_command = run_command = ""; timer_off = echoes = echo_off = prints_errors = print_is_open = may_halt = 0; split("", count); split("", known)
}
function row(line,  low, from) {
    if (header == "") header = line
    last_row = line
    if (index(line, "nan") || index(line, "inf")) {
        low = tolower(line)
        if (match(low, NON_FINITE)) {
            from = trimmed(substr(line, RSTART, RLENGTH)); gsub(/[],=[]/, "", from)
            fail("the run diverged: its output shows " from " " where())
        }
    }
}
# The first variable that LAMMPS will replace by its value: before, variable, after. Variables in quotes or comments do not count.
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
function note(its_value) {
    if (!(variable in count)) { count[variable] = 1; value[variable] = all[variable] = its_value; name_of[++names] = variable }
    else if (count[variable] < 8 && !((variable, its_value) in known)) { count[variable]++; all[variable] = all[variable] ", " its_value }
    known[variable, its_value] = 1
}
# What an echoed run must do, as far as its options say that: run_steps to do or run_upto to reach, -1 where it is not known.
function begin_run(its_command,  n, i, is_upto, every, rest) {
    run_command = its_command; run_steps = run_upto = -1; run_every = run_done = is_upto = every = 0
    n = split(its_command, word)
    for (i = 3; i <= n; i += 2) {
        if (word[i] == "upto") { is_upto = 1; i-- }
        else if (word[i] == "every" && word[i + 1] ~ /^[0-9]+$/) {
            every = word[i + 1] + 0; rest = " "
            for (i += 2; i <= n; i++) rest = rest word[i] " "
            if (rest ~ /[^A-Za-z0-9_](run|rerun|minimize|include|jump|next|python|quit)[^A-Za-z0-9_]/) return
        }
        else if (i == n) return
        else if (word[i] ~ /^(pre|post)$/ && word[i + 1] ~ /^(yes|no|on|off)$/) continue
        else if (word[i] !~ /^(start|stop)$/ || word[i + 1] !~ /^[0-9]+$/) return
    }
    run_every = every
    if (is_upto) run_upto = word[2] + 0; else run_steps = word[2] + 0
}
# A Loop time of that run, after so many steps.
function end_run(its_steps,  due, at) {
    at = step(); run_done += its_steps; due = run_steps - run_done + its_steps
    if (run_every && run_every < due) due = run_every
    if (run_steps >= 0) {
        if (its_steps != due) fail(stopped("did " sprintf("%.0f", run_done) " steps"))
    } else if (run_upto >= 0 && at >= 0 && at != run_upto && !(run_every && its_steps == run_every))
        fail(stopped("ended at step " sprintf("%.0f", at)))
    if (!run_every || (run_steps >= 0 ? run_done >= run_steps : at < 0 || at == run_upto)) run_command = ""
}
function unseen(why) { return "whether the `fix halt` of the input with `message no` stopped the run can not be seen in this log: " why "; leave `message no` out" }
function stopped(what) { return "the run was stopped early: `" run_command "` " what ", as with a `fix halt` that prints no message" }
# A command without the quotes around single words, which LAMMPS does not need.
function unquoted(line,  done) {
    done = ""
    while (match(line, QUOTED_WORD)) {
        done = done substr(line, 1, RSTART - 1) substr(line, RSTART + 1, RLENGTH - 2); line = substr(line, RSTART + RLENGTH)
    }
    return done line
}
# What a fix print will print among the output of runs, where nothing tells it from the lines of LAMMPS.
function prints(line,  text, rest, quote, size) {
    text = trimmed(line)
    if (!match(text, /^fix[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+print[ \t]+[^ \t]+[ \t]+/)) return
    size = RLENGTH; rest = substr(text, size + 1); quote = substr(rest, 1, 1)
    if (substr(rest, 1, 3) == "\"\"\"") quote = "\"\"\""
    else if (quote != "\"" && quote != SINGLE) quote = ""
    if (quote != "") {
        rest = substr(rest, length(quote) + 1)
        if (!index(rest, quote)) return
        its_text = substr(rest, 1, index(rest, quote) - 1); size += length(its_text) + 2 * length(quote)
    } else { its_text = rest; sub(/[ \t].*/, "", its_text); size += length(its_text) }
    if (substr(text, size + 1) ~ /[ \t\r\f\v]screen[ \t\r\f\v]+(no|off)([^A-Za-z0-9_]|$)/) return
    if (its_text ~ OWN || index(its_text, "% CPU use with ") || (its_text ~ ERROR && its_text ~ SOURCE) || tolower(its_text) ~ NON_FINITE)
        fail("`" substr(text, 1, size) "` prints lines that can not be told from those of LAMMPS itself: change the text, or add `screen no` and write it to a file with `file`")
    if (its_text ~ ERROR) prints_errors = 1
}
function command(line,  t, plain) {
    if (line ~ /^[ \t\r\f\v]*print[ \t\r\f\v]/) { print_command = line; print_lines = 1; print_is_open = is_open(line) }
    else if (line ~ /^[ \t\r\f\v]*echo[ \t\r\f\v]+(none|screen|log|both)([^A-Za-z0-9_]|$)/) { split(line, word); echo_off = word[2] ~ /^(none|screen)/ }
    else if (unquoted(line) ~ COMMAND) {
        echoes = 1; t = unquoted(line); sub(/#.*/, "", t); t = trimmed(t)
        # Skip a command with variables that are not replaced yet: LAMMPS echoes it again.
        plain = line; gsub(/"[^"]*"/, "", plain); gsub(QUOTED, "", plain)
        if (t ~ /^run[ \t\r\f\v]+[0-9]+([ \t\r\f\v]|$)/ && !index(plain, "$")) {
            if (run_command != "") fail(not_timed(run_command))
            begin_run(t)
        } else prints(line)
        if (t ~ /^fix[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]+halt[ \t].*[ \t]message[ \t]+(no|off)([ \t]|$)/) may_halt = 1
    }
}
# Whether a line leaves triple quotes open, or closes those of a line before.
function is_open(line) { return gsub(/"""/, "", line) % 2 }
function not_timed(its_command) {
    if (timer_off) return "no times were printed: the command `timer off` of the input turns them off; leave it out"
    if (run_command != "" && run_done) return stopped("did " sprintf("%.0f", run_done) " steps")
    return "`" its_command "` printed no Loop time: LAMMPS skipped it, as it does after a `fix halt` with `error soft` or a `timer timeout`"
}
# Whether a line was printed by the print command before it. LAMMPS echoes the command again after a substitution.
function is_printed(line, its_command,  t) {
    if (its_command == "" || line ~ /^[ \t\r\f\v]*print[ \t\r\f\v]/ || (line ~ ERROR && line ~ SOURCE)) return 0
    t = trimmed(line)
    return t == "" || index(its_command, t) || (index(its_command, "$") && its_command !~ /[ \t\r\f\v]screen[ \t\r\f\v]+(no|off)([^A-Za-z0-9_]|$)/)
}
function echo(line,  size) {
    sub(/[ \t\r\f\v]+$/, "", line)
    if (expected && length(line) >= length(before) + length(after) && substr(line, 1, length(before)) == before) {
        size = length(line) - length(after)
        if (substr(line, size + 1) == after) note(trimmed(substr(line, length(before) + 1, size - length(before))))
    }
    expected = reference(line)
}
function outside(line,  t) {
    t = trimmed(line)
    if (t != "") last_line = t
    if (line ~ /^[ \t]*(using|set) [0-9]+ OpenMP thread\(s\) per MPI task/) { split(t, word); threads = word[2] > 1 ? word[2] + 0 : 1 }
    else if (line ~ /^Running on [0-9]+ partitions of processors/) { split(line, word); partitions = word[3] }
    else if (line ~ /^[ \t\r\f\v]*log[ \t]+[^ \t#]+([ \t]+append)?[ \t\r]*(#.*)?$/) { t = line; sub(/#.*/, "", t); log_command = trimmed(t) }
    else if (line ~ /^New timer settings: style=[a-z]/) timer_off = line ~ /style=off/
    else if (runs && line ~ /^[ \t]*Stopping criterion = walltime limit reached/) fail("the minimization was stopped early: its stopping criterion is `walltime limit reached`")
    else { command(line); echo(line) }
}
function loop(line,  n, t) {
    in_run = 0; n = threads
    # LAMMPS of 2012 to 2015 says it here, and has no line on CPU use.
    if (match(line, / procs \([0-9]+ MPI x [0-9]+ OpenMP\) for /)) {
        split(substr(line, RSTART, RLENGTH), word); n = word[5] + 0
        line = substr(line, 1, RSTART - 1) " procs for " substr(line, RSTART + RLENGTH)
    }
    if (line !~ /^Loop time of [0-9]+(\.[0-9]+)?(e[-+][0-9]+)? on [0-9]+ procs for [0-9]+ steps with [0-9]+ atoms/) {
        fail("a line of the log can not be read: " trimmed(line)); return
    }
    split(line, word); if (n < 1 || word[6] % n) n = 1
    if (wall != "") fail(TWO)
    if (word[12] == 0) fail("the run ended without atoms: all were lost, or none were created")
    if (run_command == "" && may_halt && echo_off) fail(unseen("`echo` keeps the commands out of it"))
    if (run_command != "") {
        if (may_halt && run_upto >= 0 && step() < 0) fail(unseen("its first column is no step"))
        end_run(word[9] + 0); split(line, word)
    }
    total = runs ? sprintf("%.17g", total + word[4]) : word[4]
    runs++; steps = (runs > 1 ? steps : 0) + word[9]; atoms = word[12]; processes = word[6] / n; its_threads = n; cpu = last_line = ""
    if (word[9] > 0) moved = 1
}
function missing() {
    if (version == "" && !started) {
        if (!lines) return "the log is empty: LAMMPS never started, or its output went elsewhere"
        if (runs || wall != "") return "the log begins in the middle, like a file that the log command of the input started: " WHOLE
        return "this is not a log of LAMMPS: no line starts with LAMMPS ("
    }
    if (partitions) return "LAMMPS ran on " partitions " partitions, and each wrote a log of its own: this one with .0 to ." (partitions - 1) " added to its name; report each, with --log NAME.0 --step 0 and so on"
    # The screen output of LAMMPS contains no commands, unless LAMMPS is told to echo them there.
    if (log_command != "" && (echoes || !runs)) {
        split(log_command, word)
        return "the command " log_command " of the input writes the rest " (word[2] ~ /^none/ ? "nowhere" : "to another file") ": " WHOLE
    }
    if (wall == "") {
        if (!in_run && last_line ~ /^quit([ \t]+[^ \t#]+)?[ \t]*(#.*)?$/) {
            rest = last_line; sub(/^quit[ \t]*/, "", rest); sub(/[ \t]*(#.*)?$/, "", rest)
            if (rest != "" && rest != "0") return "the input stopped LAMMPS itself: " last_line
        } else if (runs && !in_run && (echo_off || !echoes))
            return "the log ends without the last line of LAMMPS and holds no commands: the job was killed, crashed, or is still running, or `quit` in the input ended it; report a log or an output that LAMMPS echoes the commands to"
        else return "the log breaks off" (in_run ? " " where() : "") ": the job was killed, crashed, or is still running"
    }
    if (run_command != "") return not_timed(run_command)
    if (in_run) return not_timed("run")
    if (!moved) return "LAMMPS ended well, but its input never ran a step"
    return ""
}
BEGIN { WHOLE = "leave the command out, or report the screen output of LAMMPS, which is complete"; SINGLE = sprintf("%c", 39); QUOTED = SINGLE "[^" SINGLE "]*" SINGLE; begin("")
    TWO = "two LAMMPS runs wrote to this file at once: give each its own log, or, if they should be one run, start LAMMPS with the mpiexec of the MPI that it was built with"
    ERROR = "^ERROR( on proc [0-9]+)?: "; SOURCE = "[(][^() \t\r\f\v]+[.](cpp|h):[0-9]+[)][ \t\r\f\v]*$"
    QUOTED_WORD = "\"[^\" \t\r\f\v]*\"|" SINGLE "[^" SINGLE " \t\r\f\v]*" SINGLE; NON_FINITE = "(^|[[ \t=,])[-+]?(nan|inf)($|[] \t\r,])"
    OWN = "^(Loop time of |(WARNING: )?Wall time limit reached|Fix halt condition|Per MPI rank memory|Memory usage per processor|Total wall time: |LAMMPS [(][0-9][0-9]? [A-Za-z0-9_][A-Za-z0-9_][A-Za-z0-9_] [0-9][0-9][0-9][0-9])"
    COMMAND = "^[ \t\r\f\v]*(units|atom_style|pair_style|pair_coeff|read_data|create_box|fix|thermo|run|minimize)([ \t\r\f\v]|$)"
}
print_is_open { lines++; print_lines++; print_command = print_command "\n" $0; if (is_open($0)) print_is_open = 0; next }
/^LAMMPS \([0-9][0-9]? [A-Za-z0-9_][A-Za-z0-9_][A-Za-z0-9_] [0-9][0-9][0-9][0-9]/ && !is_printed($0, print_command) { t = trimmed($0); t = substr(t, 9); sub(/\)+$/, "", t); begin(t); started = 1; next }
{
    lines++; its_print = print_command; print_command = ""
    if (in_run && substr($0, 1, 1) <= "9") row($0)
    else if (is_printed($0, its_print)) { last_line = ""; if (--print_lines > 0) print_command = its_print }
    else if (/^Loop time of /) loop($0)
    else if ($0 ~ ERROR) {
        if ($0 ~ SOURCE) fail("LAMMPS stopped with " trimmed($0))
        else if (error == "" && !prints_errors) error = "LAMMPS stopped with " trimmed($0)
    }
    else if (/^(WARNING: )?Wall time limit reached/) fail("the run reached its time limit (timer timeout) " where())
    else if (/^Fix halt condition/) fail("the run was halted early: " trimmed($0))
    else if (/^(Per MPI rank memory|Memory usage per processor)/) { if (in_run && timer_off) fail(not_timed("run")); in_run = 1; header = last_row = ""; if (wall != "") fail(TWO) }
    else if (/^Total wall time: /) {
        if (/^Total wall time: [0-9]+:[0-9][0-9]:[0-9][0-9][ \t\r\f\v]*$/) { if (wall != "") fail(TWO); split($4, word, ":"); wall = word[1] * 3600 + word[2] * 60 + substr(word[3], 1, 2) }
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
    # Text that an input prints may look like an error. But after a real error, LAMMPS does not write its last line.
    if (failure == "" && wall == "") failure = error
    if (failure == "") failure = missing()
    print "failure " failure; print "version " version; print "wall_time " wall
    if (runs) {
        print "loop_time " total; print "steps " steps; print "atoms " atoms
        print "processes " processes; print "threads " its_threads; print "cpu_use " cpu
    }
    for (i = 1; i <= names; i++) print "v " name_of[i] " " value[name_of[i]]
    for (i = 1; i <= names; i++) if (count[name_of[i]] > 1) print "several " name_of[i] " " all[name_of[i]]
}'

fact() { printf '%s\n' "$report" | sed -n "s/^$1 //p" | head -n 1; }
or_null() { if [ -n "$1" ]; then printf '%s' "$1"; else printf null; fi; }

# --- features and source, each as the content of a JSON object

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
        several=$(fact "several $1")
        [ -z "$several" ] || nothing "$1 was $several: report each run, or give $1=VALUE"
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
        nothing "'$1' is not a variable in the log (${shown:-none}): give it as $1=value"
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

# --- the spool, in the format of client/tailrace/spool/

# All of it or nothing: a full disk takes the first part of a file, or an empty one.
write_part() {
    (set -C && printf '%s' "$content" >"$part") 2>/dev/null
    [ "$(cat "$part" 2>/dev/null)" = "$content" ] || { rm -f "$part" 2>/dev/null; return 1; }
}

is_full() {
    { ls -1 "$spool" | sed -n 's/^[^.-]*-\([0-9]*\)-.*\.json$/\1/p'; ls -ln "$spool/refused" | awk 'NF > 8 { print $5 }'; } 2>/dev/null |
        awk -v most="$1" '{ b = int(($1 + 4095) / 4096); taken += (b < 1 ? 1 : b) * 4096 } END { exit taken < most * 1048576 }'
}

lost() { say "not delivered: $reason; not kept either ($1): {\"stream\": $(quoted "$stream"), \"observation\": $observation}"; exit 0; }

keep() { # sets `kept`. If the observation can't be stored, prints it on standard error and exits
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

# --- which logs were reported, and under which keys, as in lammps_jobs/reported_logs.py

# Sets `notes`, the file with the notes about this log, and `this_log`, with which its lines begin. Empty if there can be none.
look_up() {
    notes= this_log=
    [ -f "$log" ] || return 0
    log_digest=$(digest_of_log "$log")
    case $log in */*) place=${log%/*}/ ;; *) place=. ;; esac
    place=$(CDPATH= cd -P -- "$place" 2>/dev/null && pwd -P) && [ "${#log_digest}" = 32 ] || return 0
    this_log="$log_digest $(printf '%s\000%s\000%s' "${url##*@}" "$stream" "${place%/}/${log##*/}" | fingerprint) "
    notes=$spool/.reported/$(printf '%s' "$log_digest" | cut -c 1-2)
    beside=${place%/}/.tailrace-reported
}

# Prints another key under which this log was reported, unless it was reported under this one, too.
other_key() {
    {
        cat "$notes"
        echo
        [ ! -f "$beside" ] || [ -L "$beside" ] || head -c 32768 "$beside"
    } 2>/dev/null | awk -v begin="$this_log" -v own="$digest" '
        index($0, begin) == 1 { rest = substr($0, length(begin) + 1); if (index(rest, own) == 1) same = 1; other = substr(rest, 34) }
        END { if (!same) printf "%s", other }' 2>/dev/null
}

remember() {
    [ -n "$notes" ] || return 0
    line="$this_log$digest $(printf '%s' "$key" | tr -s '\n\r\t ' '    ' | cut -c 1-200)"
    mkdir -p "$spool/.reported"
    append "$notes"
    # Only the directory's owner writes there: root must not follow a user's links.
    case $(stat -c '%u %A' "$place") in
    "$(id -u) d"???????[!w]?) [ -L "$beside" ] || { [ -e "$beside" ] && [ ! -f "$beside" ]; } || append "$beside" ;;
    esac
} 2>/dev/null

append() {
    printf '%s\n' "$line" >>"$1"
    [ "$(wc -c <"$1")" -le 16384 ] || { tail -n 50 "$1" >"$1.$host.$$" && mv "$1.$host.$$" "$1"; }
}

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

# One attempt. curl reads its options from standard input, so that the token is not on a command line.
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
    # The headers of the last response, and its body.
    heads=$(printf '%s\n' "${answer%"$newline"*}" | awk 'begun == 0 && !/^HTTP\// { exit } { begun = 1; sub(/\r$/, ""); if ($0 == "") begun = 0; print }')
    body=$(printf '%s\n' "${answer%"$newline"*}" | awk 'over { print; next } begun == 0 && !/^HTTP\// { over = 1; print; next } { begun = 1; sub(/\r$/, ""); if ($0 == "") begun = 0 }')
    pause=$(printf '%s\n' "$heads" | awk 'tolower($1) == "retry-after:" && $2 ~ /^[0-9]+$/ { found = $2 } END { print found + 0 }')
}

# Prints `code` or `message` of an error in Tailrace's format; nothing for any other response.
of_error() { printf '%s' "$body" | sed -n 's/^{"error": *{"code": *"\([a-z_]*\)", *"message": *"\(\([^"\\]\|\\.\)*\)".*/\'"$1"'/p' | sed 's/\\\(["\\/]\)/\1/g'; }

# Whether the observation itself is refused, by the same table as in client/tailrace/errors.py.
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
        # If the time ran out in the last attempt, an earlier reason explains more.
        [ "$result" = 28 ] && [ -n "$reason" ] || reason=$said
        # Random pauses, so that a thousand jobs that end at the same time do not try again at the same time.
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
# curl reads only the lower-case name.
if [ -z "${http_proxy:-}" ] && [ -n "${HTTP_PROXY:-}" ]; then export http_proxy="$HTTP_PROXY"; fi
stream=${TAILRACE_STREAM:-} log=${TAILRACE_LOG:-log.lammps} url=${TAILRACE_URL:-http://127.0.0.1:8080} token=${TAILRACE_TOKEN:-}
spool=${TAILRACE_SPOOL:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/tailrace/spool}
key= step=${TAILRACE_STEP:-} named= since= receipt= deadline=5 bare= given= sources=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --*=*) option=${1%%=*} value=${1#*=} ;;
    --*)
        option=$1 value=${2-}
        [ $# -gt 1 ] || nothing "$1 needs a value, or is not an option"
        shift
        ;;
    *)
        case $1 in *"$newline"*) nothing "a feature contains a line break" ;; esac
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
    --source)
        source=$sources
        [ -z "$value" ] || add_source "$value"
        sources=$source
        ;;
    --url) url=$value ;;
    --spool) spool=$value ;;
    --receipt) receipt=$value ;;
    --deadline)
        matches "$value" '[0-9]*\.?[0-9]+' || nothing "'$value' is not a time: expected seconds, more than 0"
        deadline=$value
        ;;
    *) nothing "there is no option $option: the first lines of lammps_jobs/epilogue.sh list the options" ;;
    esac
done
deadline=$(awk -v s="$deadline" 'BEGIN { printf "%d", s * 1000 }')
[ "$deadline" -gt 0 ] || nothing "the deadline is 0: expected seconds, more than 0"
[ -n "$stream" ] || nothing "no stream is named: use --stream or TAILRACE_STREAM"
if ! matches "$stream" '[A-Za-z0-9][A-Za-z0-9._-]*' || [ ${#stream} -gt 200 ]; then
    nothing "'$stream' is not a stream's name: expected 1 to 200 letters, digits, '.', '_' or '-', starting with a letter or a digit; the result is still in $log: report it with the right --stream"
fi

# --- the log

if ! { [ -f "$log" ] || [ -p "$log" ]; } || ! [ -r "$log" ]; then nothing "the log can't be read: $log"; fi
report=$(awk "$READ_LOG" <"$log") || nothing "the log can't be read: $log"
failure=$(fact failure)
# Where two processes write to one file, the one that was there first leaves a hole.
[ -p "$log" ] || [ "$(tr -cd '\000' <"$log" | head -c 1 | wc -c)" = 0 ] || failure="two LAMMPS runs wrote to this file at once: give each its own log"
[ -z "$failure" ] || nothing "$log: $failure"
# The processor ticks after the boot at which the script of this job began, as in lammps_jobs/job_start.py. Nothing outside of it
# or in a step of it.
job_ticks() {
    task= first= pbs= flux=
    [ -z "${SLURM_JOB_ID:-}" ] || [ -n "${SLURM_STEP_ID+in a step}" ] || task=${SLURM_TASK_PID:-}
    [ -z "${LSB_JOBID:-}" ] || first=${LS_JOBPID:-}
    [ -z "${PBS_JOBID:-}" ] || [ "${PBS_TASKNUM:-}" != 1 ] || pbs=yes
    [ -z "${FLUX_ENCLOSING_ID:-}" ] || [ -n "${FLUX_JOB_ID:-}" ] || flux=yes
    [ -n "$task$first$pbs$flux" ] || return
    above=$$
    while above=$(parent "$above") && [ "${above:-0}" -gt 1 ]; do
        [ "$above" = "$task" ] || [ "$above" = "$first" ] ||
            case $pbs$flux:$(sed -n '1s/^[^(]*(\(.*\)).*/\1/p' "/proc/$(parent "$above")/stat") in
            yes*:pbs_mom) [ -n "$pbs" ] ;;
            yes*:flux-broker-*) [ -n "$flux" ] ;;
            *) false ;;
            esac || continue
        sed 's/.*)//' "/proc/$above/stat" | awk '{ print $20 }'
        return
    done
}
parent() { sed 's/.*)//' "/proc/$1/stat" 2>/dev/null | awk '{ print $2 }'; }
anyway=
if [ -z "$since" ] && ticks=$(job_ticks) && [ -n "$ticks" ]; then
    since=$(awk -v now="$(date +%s.%N)" -v ticks="$ticks" -v each="$(getconf CLK_TCK || echo 100)" '{ printf "%.0f", now - $1 + ticks / each - 0.5 }' /proc/uptime)
    anyway=" (--since 0 reports it anyway)"
fi 2>/dev/null
case $since in
'' | Unknown | None | N/A) ;;
*)
    case $since in
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*) began=$(date -d "$since" +%s 2>/dev/null) ;;
    *[!0-9.]*) began= ;;
    *) began=${since%%.*} ;;
    esac
    [ -n "$began" ] || nothing "'$since' is not a time: expected such as 2026-11-21T07:13:27, or seconds since 1970"
    # Use the clock of the log's file system: a file server's clock may differ from this machine's.
    probe=$(dirname "$log")/.tailrace.$$.clock
    if (set -C && : >"$probe") 2>/dev/null; then
        offset=$(($(date -r "$probe" +%s) - $(date +%s)))
        rm -f "$probe"
        case $offset in 0 | 1 | -1) ;; *) began=$((began + offset - 1)) ;; esac
    fi
    [ "$(date -r "$log" +%s)" -ge "$began" ] ||
        nothing "$log is older than the job, which began after it was last written: LAMMPS did not start, or wrote another log$anyway"
    ;;
esac

# --- the observation

processes=$(fact processes) x= texts= seen=$newline overridden=
# Lists of lines are split here, not read from here-documents: many shells write those to a file in /tmp, which may be full.
set -f
blanks=$IFS IFS=$newline
for word in $given; do
    case $word in
    processes=* | processes:=*)
        [ -z "$overridden" ] || nothing "processes is given twice"
        overridden=$word
        ;;
    esac
done
IFS=$blanks
if [ -n "$overridden" ]; then
    read_pair "$overridden" feature
    { matches "$json" '[-0-9.].*' && awk -v a="$json" -v b="$processes" 'BEGIN { exit a + 0 != b + 0 }'; } || nothing "LAMMPS ran on $processes processes, not on $text: the program that started it does not match the MPI that it was built with"
fi
x=$(add "" processes "$processes")
IFS=$newline
for word in $bare; do
    IFS=$blanks
    # A given value replaces one from the log.
    case "$newline$given" in *"$newline$word="* | *"$newline$word:="*) continue ;; esac
    from_log "$word"
done
IFS=$newline
for word in $given; do
    IFS=$blanks
    read_pair "$word" feature
    [ "$name" = processes ] || add_feature "$name" "$json" "${open:+$text}" given
done
IFS=$blanks
set +f

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
source=$source${sources:+, $sources}

hint= given_key=$key
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
digest=$(printf '%s\000%s' "$stream" "$key" | fingerprint)
look_up
if [ -z "$given_key" ] && [ -n "$notes" ] && other=$(other_key) && [ -n "$other" ]; then
    nothing "$log was reported already, as $other, and has not changed since: LAMMPS did not start, or wrote another log, or this is a second report of one run (--key KEY reports it anyway)"
fi
content="{\"stream\": $(quoted "$stream"), \"server\": $(quoted "${url##*@}"), \"observation\": $observation}"
part=$spool/.$digest.$host.$$.$(od -An -N4 -tx1 /dev/urandom | tr -d ' \n').part
mkdir -p "$spool" 2>/dev/null
write_part
if ! matches "$url" '[hH][tT][tT][pP][sS]?://[^[:space:]"@?#]+'; then
    reason="'$url' is not a server's address: expected an address such as http://127.0.0.1:8080"
elif [ -n "$token" ] && ! matches "$token" '[!-~]+'; then
    reason="the token holds a character that is not valid in a header, such as a space or a line break"
elif post; then
    rm -f "$part"
    if printf '%s' "$body" | grep -q '^{"first": *[0-9]*, *"last": *[0-9]*, *"accepted": *0,'; then
        said="observation $number of $stream was known before, and nothing was added$hint"
    else
        remember
        said="observation $number of $stream: $(fact loop_time)"
    fi
    { printf 'tailrace: %s\n' "$said"; } 2>/dev/null
    if [ -n "$receipt" ]; then
        { printf '%s\n' "$body" >"$receipt.$$.part" && mv "$receipt.$$.part" "$receipt"; } 2>/dev/null ||
            say "delivered, but the receipt can't be written: $receipt"
    fi
    new=$(printf '%s' "$body" | sed -n 's/.*"new_stream": *{.*"message": *"\([^"\\]*\)".*/\1/p')
    [ -z "$new" ] || say "$new"
    unlike=$(printf '%s' "$body" | sed -nE 's/.*"warnings": *\[\{"code": *"[a-z_]*", *"message": *"(([^"\]|\\.)*)".*/\1/p' | sed 's/\\\(.\)/\1/g')
    [ -z "$unlike" ] || say "$unlike"
    exit 0
fi
keep
if is_for_good && set_aside; then
    say "refused for good: $reason; kept as $kept"
else
    remember
    say "not delivered: $reason; kept as $kept for the next epilogue or \`tailrace flush\`"
fi
exit 0
