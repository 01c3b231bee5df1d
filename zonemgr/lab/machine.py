"""What the lab's host is: uname, isainfo, psrinfo, prtconf, arch, mach, pagesize, swap, host names, uptime, who, ppriv.

Processors and memory are the machine's, for builds ask how many there are; the rest is an ordinary PC with illumos.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from zonemgr.lab import options, place
from zonemgr.lab.call import Call

NODE_LENGTH = 256  # SYS_NMLN - 1 (gate, sys/utsname.h)
PAGE = 4096
MEGAHERTZ = 2000
NODE, DOMAIN = "host.nodename", "host.domainname"  # facts: set since the boot


# -- the node's name -----------------------------------------------------------------------------------------


def node(call: Call) -> str:
    """The kernel's name of the host or zone: of the namespace, where this is a program in one."""
    if Path("/.lab/gz.json").exists() or Path("/.lab/zone.json").exists():
        return os.uname().nodename
    if call.zone is None and call.world.get(NODE):
        return call.world.get(NODE)
    return (place.read(place.here(call).root, "etc/nodename") or call.zone or "unknown").strip()


def _set_node(call: Call, name: str, command: str) -> int:
    if not call.privileged:
        return call.fail(f"{command}: error in setting name: Not owner")
    if call.zone is not None:
        from zonemgr.lab import kernel

        return kernel.ask(call, "lab-node", name)
    if Path("/.lab/gz.json").exists():
        from zonemgr.lab import namespaces

        namespaces.set_host_name(name)
    call.world.put(NODE, name)
    return 0


def answer_node(call: Call) -> int:
    """A zone's processes ask for a new name; they may not give their own cell one."""
    from zonemgr.lab import cell, namespaces

    trouble = ""
    for first in cell.firsts(call.world, call.zone or ""):
        trouble = trouble or cell.with_names(first, lambda: namespaces.set_host_name(call.argv[1]))
    return call.fail(f"uname: error in setting name: {trouble}") if trouble else 0


def hostname(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "s")
    except options.BadOption:
        return call.fail("usage: hostname [-s] [system_name]")
    if len(words) > 1 or (found and words):
        return call.fail("usage: hostname [-s] [system_name]")
    if words:
        return _set_node(call, words[0], "hostname")
    name = node(call)
    call.out((name.partition(".")[0] if found else name) + "\n")
    return 0


def domainname(call: Call) -> int:
    words = call.argv[1:]
    if len(words) > 1:
        return call.fail("usage: domainname [ domainname ]")
    if words and (call.zone is not None or not call.privileged):
        return call.fail("domainname: error in setting name: Not owner")
    if words:
        call.world.put(DOMAIN, words[0])
        return 0
    kept = call.world.get(DOMAIN) if call.zone is None else ""
    text = kept or place.read(place.here(call).root, "etc/defaultdomain") or ""
    call.out(text.strip() + "\n")
    return 0


# -- uname and its like --------------------------------------------------------------------------------------

UNAME_USAGE = "usage:\tuname [-snrvmapiX]\n\tuname [-S system_name]"


def uname(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "asnrpvmiS:X")
    except options.BadOption:
        return call.fail(UNAME_USAGE)
    letters = [letter for letter, _ in found]
    if words or ("S" in letters and len(letters) > 1):
        return call.fail(UNAME_USAGE)
    if letters == ["S"]:
        if len(found[0][1]) > NODE_LENGTH:
            return call.fail(f"uname: name must be <= {NODE_LENGTH} letters")
        return _set_node(call, found[0][1], "uname")
    parts = _names(call)
    wanted = "snrvmpi" if "a" in letters else "".join(letters) or "s"
    call.out(" ".join(parts[letter] for letter in "snrvmpi" if letter in wanted))
    if "X" in letters:
        call.out(_extended(parts))
    call.out("\n")
    return 0


def _names(call: Call) -> dict[str, str]:
    version = "omnios-r151058" if place.here(call).omnios else "illumos-2024.10"
    return {
        "s": "SunOS", "n": node(call), "r": "5.11", "v": version, "m": "i86pc", "p": "i386", "i": "i86pc",
    }  # fmt: skip


def _extended(parts: dict[str, str]) -> str:
    known = {"System": "s", "Node": "n", "Release": "r", "KernelID": "v", "Machine": "m"}
    lines = [f"{name} = {parts[letter]}" for name, letter in known.items()]
    lines += ["BusType = <unknown>", "Serial = <unknown>", "Users = <unknown>", "OEM# = 0", "Origin# = 1"]
    return "\n".join([*lines, f"NumCPU = {processors()}"]) + "\n"


ISAINFO_USAGE = "usage: isainfo [ [-v] [-b | -n | -k] | [-x] ]"
CAPABILITIES = {
    "amd64": "ahf sse3 sse2 sse fxsr mmx cmov amd_sysc cx8 tsc fpu",
    "i386": "ahf sse3 sse2 sse fxsr mmx cmov sep cx8 tsc fpu",
}


def isainfo(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "nbkvx")
    except options.BadOption:
        return call.fail(ISAINFO_USAGE)
    letters = [letter for letter, _ in found]
    if words or sum(letter != "v" for letter in letters) > 1 or {"v", "x"} <= set(letters):
        return call.fail(ISAINFO_USAGE)
    if "k" in letters:
        call.out("64-bit amd64 kernel modules\n" if "v" in letters else "amd64\n")
    elif {"b", "n"} & set(letters):
        plain = "64\n" if "b" in letters else "amd64\n"
        call.out(_applications(64, "amd64") if "v" in letters else plain)
    elif "x" in letters:
        call.out("".join(f"{isa}: {text}\n" for isa, text in CAPABILITIES.items()))
    elif "v" in letters:
        call.out(_applications(64, "amd64") + _applications(32, "i386"))
    else:
        call.out("amd64 i386\n")
    return 0


def _applications(bits: int, isa: str) -> str:
    return f"{bits}-bit {isa} applications\n\t{CAPABILITIES[isa]} \n"


def arch(call: Call) -> int:
    words = call.argv[1:]
    if words and words != ["-k"] and (len(words) > 1 or words[0].startswith("-")):
        return call.fail("Usage: arch [ -k | archname ]")
    if words and words != ["-k"]:
        return 0 if words[0] == "i86pc" else 1
    call.out("i86pc\n")
    return 0


def mach(call: Call) -> int:
    if len(call.argv) > 1:
        return call.fail("Usage: mach")
    call.out("i386\n")
    return 0


def pagesize(call: Call) -> int:
    if call.argv[1:] not in ([], ["-a"]):
        return call.fail("usage: pagesize [-a]")
    call.out(f"{PAGE}\n" + (f"{2 * 1024 * 1024}\n" if len(call.argv) > 1 else ""))
    return 0


# -- processors and memory -----------------------------------------------------------------------------------


def processors() -> int:
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


PSRINFO_USAGE = (
    "usage: \n\tpsrinfo [-v] [-p] [processor_id ...]\n\tpsrinfo -s [-p] processor_id\n"
    "\tpsrinfo -t [-S state | -c | -p]\n"
)
STATES = ("on-line", "off-line", "faulted", "powered-off", "no-intr", "spare", "unknown", "disabled")


def psrinfo(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "pvstcS:")
    except options.BadOption:
        call.err(PSRINFO_USAGE)
        return 2
    given, count = dict(found), processors()
    if "t" in given:
        return _total(call, given, words, count)
    if given.keys() & {"c", "S"} or {"s", "v"} <= given.keys() or ("s" in given and len(words) != 1):
        call.err(PSRINFO_USAGE)
        return 2
    known = [word for word in words if word.isdigit() and int(word) < count]
    for word in (word for word in words if word not in known):
        call.err(f"psrinfo: processor {word}: Invalid argument\n")
    chosen = sorted({int(word) for word in known}) if words else list(range(count))
    if "s" in given:
        call.out("1\n" * len(chosen))
    elif "p" in given:
        call.out(_chips(count, verbose="v" in given) if chosen else "")
    else:
        call.out("".join(_processor(call, number, verbose="v" in given) for number in chosen))
    return 0 if len(known) == len(words) else 2


def _total(call: Call, given: dict[str, str], words: list[str], count: int) -> int:
    """psrinfo -t: how many there are."""
    if words or given.keys() & {"s", "v"} or len(given.keys() & {"p", "c", "S"}) > 1:
        call.err(PSRINFO_USAGE)
        return 2
    state = given.get("S", "on-line")
    if state not in (*STATES, "all"):
        call.err(f"psrinfo: unknown processor state: {state}\n")
        return 2
    call.out(f"{1 if 'p' in given else count if state in ('on-line', 'all') else 0}\n")
    return 0


def _chips(count: int, *, verbose: bool) -> str:
    if not verbose:
        return "1\n"
    numbers = f"0-{count - 1}" if count > 2 else " ".join(str(number) for number in range(count))
    kind = "processors" if count > 1 else "processor"
    return (
        f"The physical processor has {count} virtual {kind} ({numbers})\n"
        f"  x86 (GenuineIntel family 6 model 63 step 2 clock {MEGAHERTZ} MHz)\n\tLab processor\n"
    )


def _processor(call: Call, number: int, *, verbose: bool) -> str:
    where = place.here(call) if call.zone is not None else place.global_zone(call.world)
    form = "%m/%d/%Y %H:%M:%S"
    since = time.strftime(form, time.localtime(where.booted))
    if not verbose:
        return f"{number}\t{'on-line':<8}  since {since}\n"
    now = time.strftime(form, time.localtime(where.now))
    return (
        f"Status of virtual processor {number} as of: {now}\n  on-line since {since}.\n"
        f"  The i386 processor operates at {MEGAHERTZ} MHz,\n\tand has an i387 compatible floating point processor.\n"
    )


def prtconf(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "abcdDFmpPuvVx")
    except options.BadOption:
        return call.fail("Usage: prtconf [-abcdDFmpPuvVx] [device-path]")
    letters = {letter for letter, _ in found}
    megabytes = memory() // (1024 * 1024)
    if letters == {"m"} and not words:
        call.out(f"{megabytes}\n")
        return 0
    if letters or words:
        return call.fail(f"lab: prtconf {' '.join(call.argv[1:])} is not emulated")
    call.out(f"System Configuration:  Oracle Corporation  i86pc\nMemory size: {megabytes} Megabytes\n")
    call.out(
        "System Peripherals (Software Nodes):\n\ni86pc\n    scsi_vhci, instance #0\n    pci, instance #0\n"
    )
    call.out(
        "    iscsi, instance #0\n    options, instance #0\n    pseudo, instance #0\n    xsvc, instance #0\n"
    )
    return 0


SWAP_USAGE = (
    "Usage:\tswap -l[hk]\n\tswap -s[hk]\n\tswap -d <file name> [low block]\n"
    "\tswap -a <file name> [low block] [nbr of blocks]"
)
SWAP_BLOCKS = 8388600  # of 512 bytes: the zvol an installation makes


def swap(call: Call) -> int:
    letters = "".join(word.lstrip("-") for word in call.argv[1:])
    if letters[:1] in ("a", "d"):
        return call.fail(f"lab: swap -{letters[:1]} is not emulated")
    if letters not in ("l", "s", "lk", "sk", "kl", "ks"):
        return call.fail(SWAP_USAGE, 2)
    if "l" in letters:
        unit, mark = (2, "K") if "k" in letters else (1, "")
        blocks = f"{SWAP_BLOCKS // unit:>8}{mark}"
        call.out("swapfile             dev    swaplo   blocks     free\n")
        call.out(f"/dev/zvol/dsk/rpool/swap 232,1 {8 // unit:>8}{mark} {blocks} {blocks}\n")
        return 0
    allocated, reserved = 262144, 65536
    used = allocated + reserved
    free = SWAP_BLOCKS // 2 + memory() // 1024 - used
    call.out(
        f"total: {allocated}k bytes allocated + {reserved}k reserved = {used}k used, {free}k available\n"
    )
    return 0


# -- who is there, and since when ------------------------------------------------------------------------------


def uptime(call: Call) -> int:
    """As the first line of w(1); nobody is ever logged in to a lab's host (gate, cmd/w/w.c)."""
    if len(call.argv) > 1:
        return call.fail("lab: uptime with operands is not emulated")
    where = place.here(call)
    up = int(where.now - where.booted + 59)
    days, rest = divmod(up, 24 * 3600)
    hours, minutes = rest // 3600, rest // 60 % 60
    text = f" {days} day(s)," if days else ""
    if hours and minutes:
        text += f" {hours:>2}:{minutes:02d},"
    else:
        text += (f" {hours} hr(s)," if hours else "") + (f" {minutes} min(s)," if minutes else "")
    clock = time.strftime("%I:%M%p", time.localtime(where.now)).lower().lstrip("0")
    loads = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    call.out(f"{clock:>7}  up{text}  0 users,  load average: {loads}\n")
    return 0


def w(call: Call) -> int:
    """Without anybody to list there is the first line and the header."""
    if len(call.argv) > 1:
        return call.fail(f"lab: w {' '.join(call.argv[1:])} is not emulated")
    status = uptime(call)
    call.out("User     tty           login@  idle   JCPU   PCPU  what\n")
    return status


def who(call: Call) -> int:
    where, words = place.here(call), call.argv[1:]
    when = time.strftime("%b %e %H:%M", time.localtime(where.booted))
    answers = {
        (): "",
        ("-b",): f"   .       system boot  {when}\n",
        ("-r",): f"   .       run-level 3  {when}     3      0  S\n",
        ("-q",): "# users=0\n",
        ("-u",): "",
        ("-s",): "",
    }
    if tuple(words) not in answers:
        return call.fail(f"lab: who {' '.join(words)} is not emulated")
    call.out(answers[tuple(words)])
    return 0


# -- privileges ------------------------------------------------------------------------------------------------

PPRIV_USAGE = (
    "usage:\tppriv [-v] [-S] [-D|-N] [-M] [-s spec] [-p limits] { pid | core } ...\n"
    "\tppriv -e [-D|-N] [-M] [-s spec] cmd [args ...]\n\tppriv -l [-v] [privilege-name ...]\n"
    "  (report, set or list process privileges)"
)


def ppriv(call: Call) -> int:
    """-l, and the sets of processes; what would change them is refused, for nothing here could keep a program to it."""
    try:
        found, words = options.parse(call.argv[1:], "lDNMPevs:xS")
    except options.BadOption:
        return call.fail(PPRIV_USAGE)
    letters = {letter for letter, _ in found}
    if "l" in letters:
        return _list_privileges(call, words, verbose="v" in letters)
    if letters - {"S"} or not words:
        refused = min(letters - {"S"}, default="")
        return call.fail(f"lab: ppriv -{refused} is not emulated" if refused else PPRIV_USAGE)
    return max((_sets(call, word) for word in words), default=0)


def _list_privileges(call: Call, words: list[str], *, verbose: bool) -> int:
    from zonemgr.lab.zonecfg.privileges import ALL

    if verbose:
        return call.fail("lab: ppriv -lv is not emulated")
    status = 0
    for word in words or sorted(ALL):
        name = word.lower().removeprefix("priv_")
        if name not in ALL:
            status = call.fail(f"ppriv: {word}: bad privilege name")
        else:
            call.out(f"{name}\n")
    return status


def _sets(call: Call, word: str) -> int:
    from zonemgr.lab import proctable

    number = word.removeprefix("/proc/")
    found = [each for each in proctable.table(call) if str(each.pid) == number]
    if not found:
        return call.fail(f"ppriv: cannot examine {word}: no such process")
    each = found[0]
    most = "zone" if each.zone != "global" else "all"
    effective = most if each.uid == 0 else "basic"
    sets = {"E": effective, "I": "basic", "P": effective, "L": most}
    call.out(f"{each.pid}:\t{each.args}\nflags = <none>\n")
    call.out("".join(f"\t{name}: {text}\n" for name, text in sets.items()))
    return 0
