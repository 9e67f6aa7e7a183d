# start / stop / reload / status functions for supervisor=servicedir
#
# The service appears in the scan directory of a svscan with a `down` file, so that nothing is started
# before it is asked for; then it is asked up, and svc waits for the answer. Variables are those of an
# init script (openrc-run(8)) and these:
#
#   servicedir_path            a ready service directory; without it one is made from command,
#                              command_args and the rest, at every start
#   servicedir_scandir         the scan directory of the svscan that runs (/service)
#   servicedir_timeout_start   seconds for the service to be up and ready (30)
#   servicedir_timeout_stop    seconds for it to be down (60)
#   servicedir_force_kill      KILL what is not down by then (yes)
#   servicedir_reload_with     what svc sends on reload (-h)
#   servicedir_env             names of variables to hand on to the service
#   servicedir_options         more option files of a made directory, as "name=value" lines
#   servicedir_bin             where svc, svok and svstat are; another suite may have its own on PATH

: "${servicedir_scandir:=${SVDIR:-"/service"}}"
: "${servicedir_bin:=/usr/local/bin}"
: "${servicedir_exec:=/usr/share/servicedir/exec.sh}"

# The service directory of this service: sets _sv_dir and _sv_link.
_servicedir_names() {
	_sv_dir=${servicedir_path:-${RC_SVCDIR}/servicedir/${RC_SVCNAME}}
	_sv_link=${servicedir_scandir}/${RC_SVCNAME}
}

# One word as the shell reads it back.
_servicedir_quoted() {
	printf "'"
	printf '%s' "$1" | sed "s/'/'\\\\''/g"
	printf "' "
}

# _servicedir_option NAME VALUE: an option file, if there is a value.
_servicedir_option() {
	[ -n "$2" ] || return 0
	printf '%s\n' "$2" >"${_sv_dir}/options/$1"
}

# A signal's name, whichever way it was written: 15, TERM, SIGTERM, -TERM.
_servicedir_signal() {
	local signal=${1#-}
	case $signal in
		"") ;;
		*[!0-9]*) printf '%s\n' "${signal#SIG}" ;;
		*) kill -l "$signal" ;;
	esac
}

# What cannot be done here is refused: a service that runs with more rights than it was meant to have
# is worse than one that does not run.
_servicedir_refuse() {
	local variable value
	for variable in chroot capabilities secbits no_new_privs; do
		eval "value=\${$variable}"
		if [ -n "$value" ]; then
			eerror "${RC_SVCNAME}: supervisor=servicedir knows no $variable: have command do it (setpriv, chroot)"
			return 1
		fi
	done
	for variable in start_stop_daemon_args supervise_daemon_args; do
		eval "value=\${$variable}"
		[ -z "$value" ] || ewarn "${RC_SVCNAME}: $variable is not heeded by supervisor=servicedir"
	done
}

# retry, as start-stop-daemon takes it: seconds, or SIGNAL/SECONDS/... ; only a KILL after the first pair
# is a step of its own here. Sets _sv_signal and _sv_wait.
_servicedir_retry() {
	_sv_signal=$stopsig _sv_wait=
	case $retry in
		"") ;;
		*/*)
			local IFS=/
			# shellcheck disable=SC2086 # it is to be split
			set -- $retry
			_sv_signal=$1
			case ${3#-} in KILL | SIGKILL | 9) _sv_wait=$2 ;; esac
			;;
		*[!0-9]*) _sv_signal=$retry ;;
		*) _sv_wait=$retry ;;
	esac
	_sv_signal=$(_servicedir_signal "$_sv_signal")
}

# rc_ulimit's "-n 4096 -u unlimited" as limit options; sizes are in the units of ulimit.
_servicedir_limits() {
	local name unit value
	while [ $# -ge 2 ]; do
		name= unit=1024 value=$2
		case $1 in
			-c) name=core unit=512 ;;
			-d) name=data ;;
			-f) name=fsize unit=512 ;;
			-l) name=memlock ;;
			-m) name=rss ;;
			-n) name=nofile unit=1 ;;
			-s) name=stack ;;
			-t) name=cpu unit=1 ;;
			-u) name=nproc unit=1 ;;
			-v) name=as ;;
			*)
				eerror "${RC_SVCNAME}: rc_ulimit: $1 $2: not known to supervisor=servicedir"
				return 1
				;;
		esac
		[ "$value" = unlimited ] || value=$((value * unit))
		_servicedir_option "limit-$name" "$value:$value"
		shift 2
	done
}

# The service's command file, which exec.sh reads: where it writes, where it runs, what it is.
_servicedir_command() {
	printf '# %s\n' "made at every start by ${RC_SERVICE}"
	[ -z "$output_log" ] || printf 'exec >>%s\n' "$(_servicedir_quoted "$output_log")"
	[ -z "$error_log" ] || printf 'exec 2>>%s\n' "$(_servicedir_quoted "$error_log")"
	[ -z "$directory" ] || printf 'cd %s|| exit 111\n' "$(_servicedir_quoted "$directory")"
	printf 'exec '
	local word
	for word; do
		_servicedir_quoted "$word"
	done
	printf '\n'
}

# _servicedir_log FOLDER LOGGER: a log service that runs a command line.
_servicedir_log() {
	[ -n "$2" ] || return 0
	mkdir -p "${_sv_dir}/$1" || return 1
	case $2 in
		*[\;\&\|]*) printf '%s\n' "$2" ;;
		*) printf 'exec %s\n' "$2" ;;
	esac >"${_sv_dir}/$1/command"
	ln -sf "$servicedir_exec" "${_sv_dir}/$1/run"
}

# How it is started, watched over and stopped.
_servicedir_options() {
	local ready= delay=${respawn_delay} retries=${respawn_max} name
	case $notify in
		"") ;;
		fd:*) ready="fd ${notify#fd:}" ;;
		socket:*) ready=notify ;;
		*)
			eerror "${RC_SVCNAME}: notify=$notify: expected fd:NUMBER or socket:ready"
			return 1
			;;
	esac
	[ "$retries" != 0 ] || retries=unlimited
	_servicedir_retry
	_servicedir_option user "$command_user"
	_servicedir_option umask "$umask"
	_servicedir_option ready "$ready"
	_servicedir_option stopsignal "$_sv_signal"
	_servicedir_option stopwaitsecs "$_sv_wait"
	_servicedir_option backoff "${delay:+constant $delay}"
	_servicedir_option startretries "$retries"
	# shellcheck disable=SC2086 # it is to be split
	_servicedir_limits ${rc_ulimit:-$RC_ULIMIT} || return 1
	for name in $servicedir_env; do
		mkdir -p -m 0700 "${_sv_dir}/options/env"
		eval "printf '%s' \"\${$name}\"" >"${_sv_dir}/options/env/$name"
	done
	[ -z "$servicedir_options" ] || printf '%s\n' "$servicedir_options" | while IFS='=' read -r name value; do
		_servicedir_option "${name#"${name%%[! 	]*}"}" "$value"
	done
}

# Makes the service directory from the init script's variables.
_servicedir_make() {
	if [ -z "$command" ]; then
		eerror "${RC_SVCNAME}: neither servicedir_path nor command is set"
		return 1
	fi
	_servicedir_refuse || return 1
	# A directory that is supervised is changed, not replaced: its service goes on.
	"$servicedir_bin/svok" "$_sv_dir" 2>/dev/null || rm -rf "$_sv_dir"
	rm -rf "${_sv_dir}/options"
	mkdir -p "${_sv_dir}/options" && : >"${_sv_dir}/down" || return 1
	_servicedir_options || return 1
	# As OpenRC's own start does: command_args="this \"is a\" test" works properly.
	eval set -- "$command" "$command_args" "$command_args_foreground"
	_servicedir_command "$@" >"${_sv_dir}/command" || return 1
	_servicedir_log log "$output_logger" || return 1
	_servicedir_log errlog "$error_logger" || return 1
	ln -sf "$servicedir_exec" "${_sv_dir}/run"
}

# Whether the link is there and is this service's.
_servicedir_linked() {
	[ -L "$_sv_link" ] && [ "$(readlink "$_sv_link")" = "$_sv_dir" ]
}

# Makes the directory appear in the scan directory.
_servicedir_link() {
	_servicedir_linked && return 0
	if [ -e "$_sv_link" ] || [ -L "$_sv_link" ]; then
		eerror "${_sv_link} is there already and does not lead to ${_sv_dir}"
		return 1
	fi
	ln -s "$_sv_dir" "$_sv_link"
}

# Waits for a supervise: svscan sees a new link at once, so ten seconds are plenty.
_servicedir_appear() {
	local until=$(($(date +%s) + 10))
	[ "$until" -le "$_sv_until" ] || until=$_sv_until
	until "$servicedir_bin/svok" "$_sv_dir" 2>/dev/null; do
		if [ "$(date +%s)" -ge "$until" ]; then
			_sv_reason="no supervise: does svscan run on ${servicedir_scandir}?"
			return 99
		fi
		sleep 0.1
	done
}

# Calls svc and keeps what it says without the names that an init script's user knows.
_servicedir_svc() {
	local code=0
	_sv_reason=$("$servicedir_bin/svc" "$@" "$_sv_dir" 2>&1) || code=$?
	_sv_reason=${_sv_reason#svc: *: "${_sv_dir}": }
	return $code
}

# Asks the service up, and waits for the answer as long as there is time. It is asked for one run: a
# start that fails is an answer then, and not tried again; when it is up, it is asked to stay. Whoever
# wrote a number of retries wants these.
_servicedir_up() {
	local left code=0 how=-o
	[ -n "$servicedir_path" ] && [ -e "${_sv_dir}/options/startretries" ] && how=-u
	left=$((_sv_until - $(date +%s)))
	[ "$left" -gt 0 ] || left=1
	_servicedir_svc "$how" --wait=ready -T "$left" || code=$?
	[ $code -ne 0 ] || [ $how = -u ] || _servicedir_svc -u || code=$?
	return $code
}

# Ends the supervise and its logs; what is not down in time is killed.
_servicedir_down() {
	local code=0 log
	_servicedir_linked && rm -f "$_sv_link"
	"$servicedir_bin/svok" "$_sv_dir" 2>/dev/null || return 0
	_servicedir_svc -dx --wait=exited -T "${servicedir_timeout_stop:-60}" || code=$?
	if [ $code -eq 99 ] && yesno "${servicedir_force_kill:-yes}"; then
		ewarn "${RC_SVCNAME} is not down after ${servicedir_timeout_stop:-60} seconds: sending KILL"
		code=0
		_servicedir_svc -k --wait=exited -T 5 || code=$?
	fi
	[ $code -eq 0 ] || return $code
	for log in log errlog; do
		# What it said last is to be in the log; a logger that does not end is svscan's to stop.
		[ ! -d "${_sv_dir}/$log" ] || "$servicedir_bin/svc" --wait=exited -T 6 "${_sv_dir}/$log" 2>/dev/null || :
	done
}

# Whole seconds, for there is nothing better in a shell to count with.
_servicedir_seconds() {
	case $2 in
		*[!0-9]* | "")
			eerror "${RC_SVCNAME}: $1=$2: expected a number of seconds"
			return 1
			;;
	esac
}

servicedir_start() {
	_servicedir_names
	_servicedir_seconds servicedir_timeout_start "${servicedir_timeout_start:=30}" || return 1
	_servicedir_seconds servicedir_timeout_stop "${servicedir_timeout_stop:=60}" || return 1
	_sv_until=$(($(date +%s) + servicedir_timeout_start))
	ebegin "Starting ${name:-$RC_SVCNAME}"
	local code=0 made_down=
	if [ -z "$servicedir_path" ]; then
		_servicedir_make || code=$?
	elif [ ! -d "$servicedir_path" ]; then
		_sv_reason="$servicedir_path is no directory" code=1
	elif [ ! -e "${_sv_dir}/down" ] && : 2>/dev/null >"${_sv_dir}/down"; then
		# It matters only until a supervise has looked. Where it cannot be made, the service starts
		# by itself, and the answer is the same.
		made_down=yes
	fi
	[ $code -ne 0 ] || _servicedir_link || code=$?
	[ $code -ne 0 ] || _servicedir_appear || code=$?
	[ $code -ne 0 ] || _servicedir_up || code=$?
	[ -z "$made_down" ] || rm -f "${_sv_dir}/down"
	if [ $code -ne 0 ]; then
		local why=$_sv_reason
		_servicedir_down
		eend $code "Failed to start ${name:-$RC_SVCNAME}${why:+: $why}"
		return 1
	fi
	eend 0
}

servicedir_stop() {
	_servicedir_names
	_servicedir_seconds servicedir_timeout_stop "${servicedir_timeout_stop:=60}" || return 1
	ebegin "Stopping ${name:-$RC_SVCNAME}"
	local code=0
	_servicedir_down || code=$?
	eend $code "Failed to stop ${name:-$RC_SVCNAME}: $_sv_reason"
}

servicedir_reload() {
	_servicedir_names
	ebegin "Reloading ${name:-$RC_SVCNAME}"
	local code=0
	_servicedir_svc "${servicedir_reload_with:--h}" || code=$?
	eend $code "Failed to reload ${name:-$RC_SVCNAME}: $_sv_reason"
}

# OpenRC's codes: 0 started, 3 stopped, 4 stopping, 8 starting, 16 inactive, 32 crashed.
servicedir_status() {
	_servicedir_names
	if ! service_started || service_stopping || service_starting || service_inactive; then
		_status
		return $?
	fi
	if "$servicedir_bin/svstat" -q "$_sv_dir" 2>/dev/null; then
		einfo "status: started"
		"$servicedir_bin/svstat" "$_sv_dir"
		return 0
	fi
	eerror "status: crashed"
	"$servicedir_bin/svstat" "$_sv_dir"
	return 32
}
