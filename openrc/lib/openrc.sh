# Makes an init script say `supervisor=servicedir` to an OpenRC that does not know it.
#
# Source this on the script's last line; conf.d may name another supervisor, which is then used:
#
#   . /usr/share/servicedir/openrc.sh

: "${supervisor:=servicedir}"

if [ "$supervisor" = servicedir ]; then
	. "${servicedir_lib:-/usr/share/servicedir}/servicedir.sh"

	default_start() {
		servicedir_start
	}

	default_stop() {
		servicedir_stop
	}

	default_status() {
		servicedir_status
	}

	# A script's own way to reload is left alone.
	if [ "$(command -v reload)" != reload ]; then
		extra_started_commands="${extra_started_commands} reload"
		description_reload="Have the service read its configuration again"
		reload() {
			servicedir_reload
		}
	fi
fi
