"""What Supervisor understands of configuration files: a block a file, a line a process.

Users and directories need not exist on this machine, so the two conversions that look for them are
replaced; all else is Supervisor's own code, and the keys are those of getAllConfigInfo.
"""
import os
import shlex
import sys
from urllib.parse import quote

from supervisor import datatypes, options, rpcinterface

datatypes.existing_dirpath = options.existing_dirpath = os.path.expanduser
options.existing_directory = os.path.expanduser
options.name_to_uid = lambda name: name


class Daemon:
    def __init__(self, found):
        self.options = found
        self.process_groups = {}


def show(key, value):
    if isinstance(value, list):
        value = "\n".join(str(item) for item in value)
    return "%s=%s" % (key, quote(str(value), safe=""))


def look(path):
    found = options.ServerOptions()
    found.configfile = path
    found.here = os.path.dirname(path)
    found.read_config(path)
    found.process_group_configs = found.configroot.supervisord.process_group_configs
    daemon = Daemon(found)
    interface = rpcinterface.SupervisorNamespaceRPCInterface(daemon)
    interface._update = lambda text: None
    infos = interface.getAllConfigInfo()
    more = {}
    for group in found.process_group_configs:
        for process in group.process_configs:
            more[(group.name, process.name)] = process
    for info in infos:
        process = more[(info["group"], info["name"])]
        restart = process.autorestart
        info["autorestart"] = {
            datatypes.RestartUnconditionally: "always",
            datatypes.RestartWhenExitUnexpected: "unexpected",
        }.get(restart, "never")
        info["stopasgroup"] = process.stopasgroup
        info["umask"] = process.umask
        info["everyone"] = found.configroot.supervisord.user or "none"
        info["argv"] = shlex.split(info["command"])
        info["environment"] = sorted("%s=%s" % pair for pair in process.environment.items())
        print(" ".join(show(key, value) for key, value in sorted(info.items())))


for path in sys.argv[1:]:
    print("file %s" % path)
    try:
        look(path)
    except ValueError as error:
        print("error %s" % quote(str(error), safe=""))
