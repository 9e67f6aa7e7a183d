#!/bin/sh
# A system of its own for one test: world.sh FOLDER PROGRAMS PROJECT SCRIPT, in mount and pid namespaces
# of its own. All that SCRIPT changes lies in memory and is gone with it, as are its processes.
set -eu
folder=$1 programs=$2 project=$3 script=$4

mount -t tmpfs world "$folder"
root=$folder/root
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay world -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"
rm -rf "$root/etc/service" "$root/service"
mkdir -p "$root/run/openrc" "$root/service" "$root/etc/service" "$root/usr/share/servicedir"
# What `openrc boot` leaves behind.
touch "$root/run/openrc/softlevel"
for state in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do
	mkdir "$root/run/openrc/$state"
done

cp "$project"/openrc/lib/* "$root/usr/share/servicedir/"
mkdir -p "$root/etc/conf.d"
cp "$project"/openrc/conf.d/* "$root/etc/conf.d/"
cp "$project"/openrc/init.d/* "$root/etc/init.d/"
# Debian's own boot scripts do this for the others.
printf '#!/sbin/openrc-run\nstart() { :; }\n' >"$root/etc/init.d/localmount"
chmod +x "$root/etc/init.d/localmount"
mkdir -p "$root/opt/servicedir" "$root/opt/project"
mount --bind "$programs" "$root/opt/servicedir"
mount --bind "$project" "$root/opt/project"
cp "$script" "$root/test.sh"
# As pid 1 does: what is orphaned is waited for.
exec chroot "$root" /bin/sh -c '/bin/sh -eu /test.sh & wait $!'
