# The machine: two interfaces, each with a cable whose other end is p1 or p2, and systemd-networkd with the files of $1.
# Runs in network, mount and process namespaces of its own (test_rendered_network.py).
set -eu
mount -t tmpfs none /run
# networkd waits for udev unless /sys is read-only, as in a container.
mount -t sysfs -o ro sysfs /sys
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp /run/systemd/network
chown -R systemd-network:systemd-network /run/systemd/netif
cp "$1"/* /run/systemd/network/
ip link set lo up
ip link add eno1 type veth peer name p1
ip link add eno2 type veth peer name p2
ip link set p1 up

/lib/systemd/systemd-networkd >/run/log 2>&1 &

# until_true SECONDS COMMAND...
until_true() {
    left=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ $left -gt 0 ] || { echo "not in time: $*"; ip address; cat /run/log; return 1; }
        sleep 0.1
    done
}
has_address() { ip -4 -brief address show dev "$1" | grep -q "$2"; }
# As networkd itself writes down that it knows.
lost_carrier() { grep -q "^OPER_STATE=no-carrier" "/run/systemd/netif/links/$(cat "/sys/class/net/$1/ifindex")"; }
show() { echo "=== $1"; ip -brief address; ip -brief link | grep ^br0; }

until_true 30 has_address br0 192.0.2.11
until_true 30 has_address eno2 10.77.0.1
show "the other host is off"

# A lower hardware address than the bridge's: without one of its own it would take this one.
ip link add vnet0 address 02:00:00:00:00:01 type veth peer name guest
ip link set vnet0 master br0 up
show "a guest has come"
ip link delete vnet0
show "the guest has gone"

ip link set p1 down
until_true 10 lost_carrier br0
show "cables pulled"
