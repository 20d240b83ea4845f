#!/bin/bash
# Any command of licensesync as the service would run it: with its user, settings, ledger and credentials, as its unit names
# them, but outside its sandbox. For root: a ledger or a mirror that root has written is one that the service cannot write.
#
# Install as /usr/local/sbin/licensesync.

set -euo pipefail

# Drop-ins are printed after what they change, and the later line counts.
shared="$(systemctl cat licensesync.service | grep -E '^(User|StateDirectory|StateDirectoryMode|UMask|Environment|EnvironmentFile|LoadCredential|LoadCredentialEncrypted)=')"
mapfile -t shared <<<"$shared"

# A terminal is handed on; so are pipes, files and the exit code.
exec systemd-run --quiet --collect --wait --pty --pipe "${shared[@]/#/--property=}" /opt/licensesync/bin/licensesync "$@"
