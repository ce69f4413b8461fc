"""What is wrong with a libvirt domain that virt-xml-validate lets pass."""

from collections.abc import Iterator

from earmark.cluster.files import Files, Finding
from earmark.cluster.inventory import Guest, Inventory
from earmark.cluster.xml_lines import Element, Syntax, read_xml
from earmark.config.problems import quoted

_MEBIBYTES = {
    "b": 2**-20,
    "bytes": 2**-20,
    "KiB": 2**-10,
    "k": 2**-10,
    "": 2**-10,
    "MiB": 1,
    "M": 1,
    "GiB": 1024,
    "G": 1024,
}
_REPLICATED = "/dev/drbd"


def lint_guest(inventory: Inventory, files: Files) -> Iterator[Finding]:
    """Find what is wrong with each host's domain, and where they differ."""
    guest = inventory.guest
    if guest is None:
        return
    texts = {}
    for host in inventory.hosts:
        names = [
            name for name, file in files.items() if name.startswith(f"{host.name}/") and _is_domain(name, file.text)
        ]
        if not names:
            yield Finding(
                f"{host.name}/", "file-missing", "without a domain this host has no guest to start: render it"
            )
        for name in names:
            texts[name] = files[name].text
            if "/autostart/" in name:
                reason = "libvirt would start the guest at boot, on both hosts at once: only Pacemaker may. Remove it"
                yield Finding(name, "domain-autostart", reason)
            read = read_xml(files[name].text)
            if isinstance(read, Syntax):
                yield Finding(f"{name}:{read.line}", "domain-syntax", f"this is not XML: {read.reason}")
            else:
                yield from _domain(guest, name, read)
    if len(set(texts.values())) > 1:
        reason = (
            f"it is not the same as {min(texts)}: the guest would be another machine after a move. Render both again"
        )
        yield Finding(max(texts), "domain-differs", reason)


def _is_domain(name: str, text: str) -> bool:
    return name.endswith(".xml") and "<domain" in text


def _domain(guest: Guest, name: str, domain: Element) -> Iterator[Finding]:
    def found(element: Element, code: str, reason: str, *, refuses: bool = True) -> Finding:
        return Finding(f"{name}:{element.line}", code, reason, refuses)

    called = domain.first("name")
    if called is None or called.text.strip() != guest.name:
        reason = f"the guest is called {guest.name}: Pacemaker would watch another"
        yield found(called or domain, "domain-name", reason)
    if domain.get("type") != "kvm":
        reason = f"{quoted(domain.get('type'))} emulates a processor, ten times slower: set kvm"
        yield found(domain, "domain-emulated", reason, refuses=False)
    memory = domain.first("memory")
    if memory is None or _mebibytes(memory) != guest.memory:
        reason = (
            f"the inventory gives the guest {guest.memory} MiB, for which there is room on both hosts: render it again"
        )
        yield found(memory or domain, "domain-memory", reason)
    if not any(domain.all("acpi")):
        reason = "a guest without ACPI does not hear that it should shut down, and is cut off: add <acpi/>"
        yield found(domain, "domain-acpi", reason)
    for disk in domain.all("disk"):
        yield from _disk(name, disk)
    for interface in domain.all("interface"):
        mac, source = interface.first("mac"), interface.first("source")
        if mac is None or mac.get("address").lower() != guest.mac:
            reason = f"the guest's address is {guest.mac}; another one changes with each start, or is somebody else's"
            yield found(mac or interface, "domain-mac", reason)
        if source is None or source.get("bridge") != guest.bridge:
            reason = f"the guest's bridge is {guest.bridge}: it would not start, or not be reached"
            yield found(source or interface, "domain-bridge", reason)


def _mebibytes(memory: Element) -> float | None:
    text = memory.text.strip()
    unit = _MEBIBYTES.get(memory.get("unit"))
    return int(text) * unit if text.isascii() and text.isdigit() and len(text) < 16 and unit else None


def _disk(name: str, disk: Element) -> Iterator[Finding]:
    source, driver = disk.first("source"), disk.first("driver")
    path = (source.get("dev") or source.get("file")) if source else ""
    if disk.get("device") in ("", "disk") and not path.startswith(_REPLICATED):
        reason = (
            f"{quoted(path)} is on one host alone: after a fail-over what was written is gone. Name the DRBD device"
        )
        yield Finding(f"{name}:{(source or disk).line}", "domain-disk", reason)
    if driver is not None and driver.get("cache") not in ("none", "directsync"):
        reason = 'the host would hold writes in its memory that the guest takes for done: set cache="none"'
        yield Finding(f"{name}:{driver.line}", "domain-cache", reason)
