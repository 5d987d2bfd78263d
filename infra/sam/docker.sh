#!/bin/sh
# Starts a Docker engine where none answers: installs Debian's and starts it by
# hand, as root, without a service manager. Where one answers it does nothing.
set -eu

if docker version >/dev/null 2>&1; then
	echo "docker: an engine answers"
	exit 0
fi
if [ -n "${DOCKER_HOST:-}" ]; then
	echo "docker: nothing answers at DOCKER_HOST, $DOCKER_HOST" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "docker: no engine answers, and only root on Debian or Ubuntu can have this script install one: start yours" >&2
	exit 1
fi
if ! command -v dockerd >/dev/null; then
	echo "docker: installing docker.io with apt-get"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends docker.io iptables cgroupfs-mount >/dev/null
fi
# Where no init system has mounted the control groups.
if ! mountpoint -q /sys/fs/cgroup && command -v cgroupfs-mount >/dev/null; then
	cgroupfs-mount
fi
log=/var/log/rekindle-dockerd.log
echo "docker: starting dockerd, which logs to $log"
nohup dockerd >"$log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 120); do
	if docker version >/dev/null 2>&1; then
		echo "docker: the engine answers; kill $pid ends it"
		exit 0
	fi
	if ! kill -0 "$pid" 2>/dev/null; then
		break
	fi
	sleep 0.5
done
tail -n 20 "$log" >&2
echo "docker: dockerd does not answer; above is the end of its log" >&2
exit 1
