#!/bin/bash
# Installs what only the system's package manager can bring: a Python with venv, a C compiler for the counting plugin and
# a C++ one for the tests of headers, QEMU's user-mode emulator, mmdebstrap for the emulated board's file system, LLVM
# for the cycles of its code, and for boards over SSH an ssh client, QEMU's system emulator (the virtual board) and an
# sshd for the tests; and on Debian the browser in which the tests open the page of `armopt report` (Ubuntu has it as a
# snap only: there they are skipped).
# Asks for nothing that is there.
set -euo pipefail

say() { printf '==> %s\n' "$*" >&2; }

missing=()
python=$("$(dirname "$0")/find_python.sh" || true)
if [ -z "$python" ]; then
    missing+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
fi
printf '#include <stdio.h>\n' | cc -E - >/dev/null 2>&1 || missing+=(gcc libc6-dev)
command -v c++ >/dev/null || missing+=(g++)
command -v qemu-aarch64 >/dev/null || missing+=(qemu-user)
command -v qemu-system-aarch64 >/dev/null || missing+=(qemu-system-arm)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v ssh >/dev/null || missing+=(openssh-client)
[ -x /usr/sbin/sshd ] || command -v sshd >/dev/null || missing+=(openssh-server)
if ! command -v chromium >/dev/null && grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
    missing+=(chromium)
fi
# Older ones, which go without the number, have other models of the cores (latency/llvm_mca.py).
has_llvm() {
    { command -v llvm-mca-19 && command -v llvm-mc-19; } >/dev/null && return
    command -v llvm-mc >/dev/null && llvm-mca --version 2>/dev/null | grep -qE 'LLVM version (19|[2-9][0-9])'
}
has_llvm || missing+=(llvm-19)
# The emulated board runs Debian whatever this machine runs, and its packages are checked against Debian's keys.
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || missing+=(ca-certificates)

if [ ${#missing[@]} -eq 0 ]; then
    say "system packages: all there"
    exit 0
fi

give_up() {
    say "these Debian packages are missing: ${missing[*]}"
    say "$1"
    exit 1
}

family=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}" || true)
case " $family " in
    *" debian "* | *" ubuntu "*) ;;
    *) give_up "this is not Debian or Ubuntu: install the same programs with this system's package manager, then make again" ;;
esac
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    as_root=(sudo)
else
    give_up "run as root: apt-get install --no-install-recommends ${missing[*]}"
fi
say "system packages: installing ${missing[*]}"
apt_get() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@" >&2; }
# Tests run an sshd of their own on the loopback; the package would start one that all the network reaches.
keep_sshd_off() {
    local unit
    if [ -d /run/systemd/system ]; then
        for unit in ssh.service ssh.socket; do
            [ -e "/etc/systemd/system/$unit" ] || "${as_root[@]}" systemctl mask "$unit" >&2
        done
        say "openssh-server: its service stays off (to have it: systemctl unmask ssh.service ssh.socket)"
    fi
    [ -e /usr/sbin/policy-rc.d ] && return
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin /usr/sbin/policy-rc.d
    trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
}
case " ${missing[*]} " in *" openssh-server "*) keep_sshd_off ;; esac
apt_get update || give_up "apt-get update failed: mend the machine's package sources, then make again"
apt_get install -y --no-install-recommends "${missing[@]}" || give_up "apt-get could not install them: see above"
