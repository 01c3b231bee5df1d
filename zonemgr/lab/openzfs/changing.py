"""The zfs commands that change something: what the lab keeps itself is done here, all else by the machine's zfs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.job import ChangeList, Job
from zonemgr.lab.openzfs.kept import CHOICES, FILE_SYSTEM_ONLY, KEPT, user_property
from zonemgr.lab.zfs import busy, names
from zonemgr.lab.zfs.text import Refused, Usage, flags, options

ZONED_CHILD = "child dataset with inherited mountpoint is used in a non-global zone"
RETRIES, PAUSE = 20, 0.1  # seconds: how long the mounts of a zone that has just ended may keep a dataset busy
Pairs = dict[str, str]


# -- property=value ----------------------------------------------------------------------------------------------


def read(words: Iterable[str], *, status: int = 1) -> Pairs:
    pairs: Pairs = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise Refused("missing '=' for property=value argument", status)
        if name in pairs:
            raise Refused(f"property '{name}' specified multiple times", status)
        pairs[name] = text
    return pairs


def check(job: Job, pairs: Pairs, doing: str) -> None:
    """The values of what the lab keeps; the machine checks the others."""
    for name, text in pairs.items():
        if name == "mountpoint" and text not in ("none", "legacy") and not text.startswith("/"):
            raise Refused(f"{doing}: '{name}' must be an absolute path, 'none', or 'legacy'")
        if name in CHOICES and text not in CHOICES[name]:
            raise Refused(f"{doing}: '{name}' must be one of '{' | '.join(CHOICES[name])}'")
        if job.view is not None and name == "zoned":
            raise Refused(f"{doing}: permission denied")


def words_of(pairs: Pairs) -> list[str]:
    return [word for name, text in pairs.items() for word in ("-o", f"{user_property(name)}={text}")]


# -- create, clone -----------------------------------------------------------------------------------------------


def create(job: Job, args: list[str]) -> int:
    found, operands = options(args, "V:b:so:p", missing="missing size argument")
    given = flags(found)
    what = "volume" if "V" in given else "filesystem"
    if given & {"b", "s"} and what == "filesystem":
        raise Usage("'-s' and '-b' can only be used when creating a volume")
    if not operands:
        raise Usage(f"missing {what} argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    pairs = read(text for letter, text in found if letter == "o")
    sizes = [word for letter, text in found if letter in "Vb" for word in (f"-{letter}", text)]
    switches = [f"-{letter}" for letter in ("s", "p") if letter in given]
    command = ["create", *switches, *sizes, *words_of(pairs)]
    failed = "filesystem successfully created, but not mounted"
    return _make(job, command, operands[0], pairs, failed, parents="p" in given)


def clone(job: Job, args: list[str]) -> int:
    found, operands = options(args, "o:p")
    pairs = read(text for letter, text in found if letter == "o")
    if not operands:
        raise Usage("missing source dataset argument")
    if len(operands) < 2:
        raise Usage("missing target dataset argument")
    if len(operands) > 2:
        raise Usage("too many arguments")
    source, target = operands
    parents = "p" in flags(found)
    command = ["clone", *(["-p"] if parents else []), *words_of(pairs), job.named(source)]
    failed = "clone successfully created, but not mounted"
    return _make(job, command, target, pairs, failed, parents=parents)


def _make(job: Job, command: list[str], target: str, pairs: Pairs, failed: str, *, parents: bool) -> int:
    """Have it made; then mount it, and what was made above it, as far as they mount themselves."""
    doing = f"cannot create '{target}'"
    real = job.valid(target, "cannot create")
    check(job, pairs, doing)
    if "/" not in target:
        raise Refused(f"{doing}: missing dataset name")
    if target.partition("/")[0] not in job.table.types:
        raise Refused(f"{doing}: no such pool '{target.partition('/')[0]}'")
    job.need_privilege(doing, target.rpartition("/")[0])
    before = set(job.table.types)
    status = job.run(*command, real)
    if status:
        return status
    done = True
    for name in [
        each for each in job.table.types if each not in before and f"{target}/".startswith(f"{each}/")
    ]:
        if job.table.text(name, "canmount") == "on":
            done = job.mount(name) and done
    if not done:
        job.err(failed)
    return 0 if done else 1


# -- set, inherit ------------------------------------------------------------------------------------------------


def set_(job: Job, args: list[str]) -> int:
    words = [word for word in args if "=" in word]
    targets = args[len(words) :]
    if not args or args[0].startswith("-") or not words or not targets:
        raise Usage("missing dataset name(s)" if words else "missing property=value argument(s)")
    if any("=" in word for word in targets):
        raise Usage("invalid argument order")
    pairs, status = read(words, status=255), 0
    for name in targets:
        try:
            status |= _set_one(job, name, pairs)
        except Refused as reason:
            status |= job.report(reason)
    return status


def _set_one(job: Job, name: str, pairs: Pairs) -> int:
    doing = f"cannot set property for '{name}'"
    real = job.named(name)
    check(job, pairs, doing)
    job.need_privilege(doing, name)
    _not_for_zones(job, name, pairs, doing)
    command = ("set", *(f"{user_property(prop)}={text}" for prop, text in pairs.items()), real)
    return _remounting(job, name, pairs, command, doing)


def _not_for_zones(job: Job, name: str, pairs: Pairs, doing: str) -> None:
    """Limits the global zone set on what it gave away stay (zfs_secpolicy_setprop)."""
    limits = {"quota", "filesystem_limit", "snapshot_limit"} & set(pairs)
    if job.view is not None and name in job.view.given and limits:
        raise Refused(f"{doing}: permission denied")


def _remounting(job: Job, name: str, pairs: Pairs, command: tuple[str, ...], doing: str) -> int:
    """Around a change of mountpoint, canmount or zoned what it is about is unmounted, and mounted again."""
    kept = [prop for prop in ("mountpoint", "canmount", "zoned") if prop in pairs]
    if job.table.types.get(name) != "filesystem" or not kept:
        return job.run(*command)
    if (
        "mountpoint" in kept
        and any(job.table.zoned(each) for each in job.table.follow(name))
        and not job.view
    ):
        raise Refused(f"{doing}: {ZONED_CHILD}")
    was_legacy = not job.table.text(name, "mountpoint").startswith("/")
    old = job.table.value(name, "mountpoint")
    changes = ChangeList(job, _concerned(job, name, pairs, kept))
    if not changes.prefix():
        return 1
    status = job.run(*command)
    done = changes.postfix()
    if not status and kept != ["canmount"]:
        job.remove_mountpoint(old)
    if was_legacy and "mountpoint" in kept and not status and job.table.text(name, "canmount") == "on":
        done = (mounts.of(job.world, name) is not None or job.mount(name)) and done
    return status or (0 if done else 1)


def _concerned(job: Job, name: str, pairs: Pairs, kept: Sequence[str]) -> list[str]:
    if list(kept) == ["canmount"]:  # it unmounts when it becomes `off`, and does nothing else
        return [name] if pairs["canmount"] == "off" else []
    if "zoned" in kept:
        return [name, *job.table.below(name)]
    return [name, *job.table.follow(name)]


def inherit(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rS")
    if not operands:
        raise Usage("missing property argument")
    if len(operands) < 2:
        raise Usage("missing dataset argument")
    prop, status = operands[0], 0
    if prop == "canmount" and "S" not in flags(found):
        raise Refused("'canmount' property cannot be inherited")
    switches = [f"-{letter}" for letter in ("r", "S") if letter in flags(found)]
    for name in operands[1:]:
        doing = f"cannot inherit {prop} for '{name}'"
        real = job.named(name)
        if prop in FILE_SYSTEM_ONLY and job.table.value(name, prop) is None:
            raise Refused(f"{doing}: property doesn't apply to datasets of this type")
        job.need_privilege(doing, name)
        command = ("inherit", *switches, user_property(prop), real)
        status |= _remounting(job, name, {prop: ""} if prop in KEPT else {}, command, doing)
    return status


# -- rename ------------------------------------------------------------------------------------------------------


def rename(job: Job, args: list[str]) -> int:
    found, operands = options(args, "prf")
    given = flags(found)
    if not operands:
        raise Usage("missing source dataset argument")
    if len(operands) < 2:
        raise Usage("missing target dataset argument")
    if len(operands) > 2:
        raise Usage("too many arguments")
    source, target = operands
    if "@" in source:
        return _rename_snapshot(job, source, target, recursive="r" in given)
    return _rename(job, source, target, given)


def _rename_snapshot(job: Job, source: str, target: str, *, recursive: bool) -> int:
    head = source.partition("@")[0]
    if "@" not in target or target.startswith("@"):
        target = f"{head}@{target.removeprefix('@')}"
    real = job.named(source)
    job.need_privilege(f"cannot rename '{source}'", head)
    return job.run("rename", *(["-r"] if recursive else []), real, job.valid(target, "cannot rename to"))


def _rename(job: Job, source: str, target: str, given: set[str]) -> int:
    doing = f"cannot rename '{source}'"
    real, to = job.named(source), job.valid(target, "cannot rename to")
    job.need_privilege(doing, source, target.rpartition("/")[0])
    if job.view is None and job.table.types.get(source) == "filesystem" and job.table.zoned(source):
        raise Refused(f"{doing}: dataset is used in a non-global zone")
    before, table = set(job.table.types), job.table
    old = [table.value(each, "mountpoint") for each in (*table.below(source), source)]
    changes = ChangeList(job, [source, *table.below(source)], force="f" in given)
    if not changes.prefix():
        return 1
    status = job.run("rename", *(["-p"] if "p" in given else []), real, to)
    for name in [each for each in job.table.types if each not in before and target.startswith(f"{each}/")]:
        job.mount(name)
    done = changes.postfix(("", "") if status else (source, target))
    for mountpoint in () if status else reversed(old):
        job.remove_mountpoint(mountpoint)
    return status or (0 if done else 1)


# -- destroy -----------------------------------------------------------------------------------------------------


def destroy(job: Job, args: list[str]) -> int:
    found, operands = options(args, "vpndfrR")
    if not operands:
        raise Usage("missing dataset argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    given, target = flags(found), operands[0]
    real = job.named(target)
    switches = [f"-{letter}" for letter in "vpndfrR" if letter in given]
    if "n" not in given:
        job.need_privilege(f"cannot destroy '{target}'", target)
    if "@" in target or "#" in target:
        return job.run("destroy", *switches, real)
    if "/" not in target:
        raise Refused(
            f"cannot destroy '{target}': operation does not apply to pools\n"
            f"use 'zfs destroy -r {target}' to destroy all datasets in the pool\n"
            f"use 'zpool destroy {target}' to destroy the pool itself"
        )
    return _destroy_tree(job, target, ["destroy", *switches, real], given)


def _destroy_tree(job: Job, target: str, command: list[str], given: set[str]) -> int:
    table = job.table
    going = [target, *(table.below(target) if given & {"r", "R"} else ())]
    if "n" not in given and not _let_go(job, going, force="f" in given):
        return 1
    places = {name: table.value(name, "mountpoint") for name in going}
    status = _when_free(job, command, going)
    for name in sorted(places, reverse=True):
        if name not in job.table.types:
            job.remove_mountpoint(places[name])
    return status


def _let_go(job: Job, going: list[str], *, force: bool) -> bool:
    """Is nothing of it given to an active zone, or in use by one? The machine's kernel could not know."""
    where = {each.dataset: each for each in mounts.mounted(job.world)}
    for name in going:
        mounted = where.get(name)
        given = busy.delegated(job.world, name) if job.view is None else name in job.view.given
        if mounted is not None and _in_use(job, mounted.path, force=force):
            job.err(f"cannot unmount '{job.shown(mounted)}': Device busy")
            return False
        if given:
            job.err(f"cannot destroy '{name}': dataset is busy")
            return False
    return True


def _in_use(job: Job, path: str, *, force: bool) -> bool:
    return path == "/" or (busy.zone_root if force else busy.zone_uses)(job.world, path)


def _when_free(job: Job, command: list[str], going: list[str]) -> int:
    """Where a zone or the lab's host ended a moment ago, Linux lets its mounts go a moment later."""
    for _ in range(RETRIES):
        done = job.machine.run(*command)
        if not done.exit_code or "dataset is busy" not in done.stderr or "snapshot" in done.stderr:
            break
        if any(mounts.of(job.world, name) for name in going):
            break
        time.sleep(PAUSE)
    job.changed()
    job.call.out(job.machine.text(done.stdout))
    job.call.err(job.machine.text(done.stderr))
    return done.exit_code


# -- what the machine does by itself -----------------------------------------------------------------------------


def snapshot(job: Job, args: list[str]) -> int:
    found, operands = options(args, "ro:")
    if not operands:
        raise Usage("missing snapshot argument")
    heads = [each.partition("@")[0] for each in operands]
    job.need_privilege("cannot create snapshots ", *heads)
    return job.run("snapshot", *_options(found), *(job.named(each) for each in operands))


def bookmark(job: Job, args: list[str]) -> int:
    _, operands = options(args, "")
    if len(operands) < 2:
        raise Usage("missing bookmark argument" if operands else "missing snapshot argument")
    source, mark = operands[:2]
    source = mark.partition("#")[0] + source if source.startswith("@") else source
    job.need_privilege(f"cannot create bookmark '{mark}'", names.file_system_of(mark))
    return job.run("bookmark", job.named(source), job.valid(mark))


def rollback(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rRf")
    if len(operands) != 1:
        raise Usage("too many arguments" if operands else "missing dataset argument")
    head = operands[0].partition("@")[0]
    job.need_privilege(f"cannot rollback '{head}'", head)
    return job.run("rollback", *_options(found), job.named(operands[0]))


def promote(job: Job, args: list[str]) -> int:
    _, operands = options(args, "")
    if len(operands) != 1:
        raise Usage("too many arguments" if operands else "missing clone filesystem argument")
    job.need_privilege(f"cannot promote '{operands[0]}'", operands[0])
    return job.run("promote", job.named(operands[0]))


def hold(job: Job, args: list[str]) -> int:
    return _tagged(job, "hold", args)


def release(job: Job, args: list[str]) -> int:
    return _tagged(job, "release", args)


def _tagged(job: Job, command: str, args: list[str]) -> int:
    found, operands = options(args, "r")
    if len(operands) < 2:
        raise Usage
    snapshots = operands[1:]
    job.need_privilege(f"cannot {command}", *(each.partition("@")[0] for each in snapshots))
    return job.run(command, *_options(found), operands[0], *(job.named(each) for each in snapshots))


def _options(found: list[tuple[str, str]]) -> list[str]:
    """The options as they came; a property may be one the lab keeps."""
    words: list[str] = []
    for letter, text in found:
        if letter == "o":
            words += words_of(read([text]))
        else:
            words += [f"-{letter}", *([text] if text else [])]
    return words


# -- send, receive -----------------------------------------------------------------------------------------------


def send(job: Job, args: list[str]) -> int:
    found, operands = options(args, "i:I:RDpvnPLeht:cwb", missing="missing argument for '{}' option")
    if len(operands) != 1:
        raise Usage("too many arguments" if operands else "missing snapshot argument")
    if flags(found) & {"t", "D"}:
        raise Refused("lab: zfs send -t and -D are not supported with --zfs system")
    job.need_privilege(f"cannot send '{operands[0]}'", operands[0].partition("@")[0])
    words = ["send"]
    for letter, text in found:
        full = letter in "iI" and not text.startswith(("@", "#")) and ("@" in text or "#" in text)
        words += [f"-{letter}", *([job.named(text) if full else text] if text else [])]
    done = job.machine.stream([*words, job.named(operands[0])], None, job.call.stdout)
    job.call.err(job.machine.text(done.stderr))
    return done.exit_code


def receive(job: Job, args: list[str]) -> int:
    found, operands = options(args, "o:x:dehnuvFsA", missing="missing argument for '{}' option")
    given = flags(found)
    if given & {"d", "e", "s", "A"}:
        raise Refused("lab: zfs receive -d, -e, -s and -A are not supported with --zfs system")
    if len(operands) != 1:
        raise Usage("too many arguments" if operands else "missing snapshot argument")
    target = operands[0].partition("@")[0]
    pairs = read(text for letter, text in found if letter == "o")
    check(job, pairs, f"cannot receive to '{target}'")
    job.need_privilege(f"cannot receive new filesystem stream to '{target}'", target)
    skipped = [word for letter, text in found if letter == "x" for word in ("-x", user_property(text))]
    switches = [f"-{letter}" for letter in "hnuvF" if letter in given]
    before = set(job.table.types)
    words = ["receive", *switches, *words_of(pairs), *skipped, job.valid(operands[0], "cannot receive")]
    done = job.machine.stream(words, job.call.stdin, None)
    job.changed()
    job.call.out(job.machine.text(done.stdout))
    job.call.err(job.machine.text(done.stderr))
    if done.exit_code or given & {"u", "n"}:
        return done.exit_code
    new = [each for each in job.table.types if each not in before and f"{each}/".startswith(f"{target}/")]
    mountable = [each for each in new if job.table.text(each, "canmount") == "on"]
    failed = [each for each in mountable if not job.mount(each)]
    return 1 if failed else 0


COMMANDS: dict[str, Callable[[Job, list[str]], int]] = {
    "create": create,
    "clone": clone,
    "snapshot": snapshot,
    "bookmark": bookmark,
    "destroy": destroy,
    "rollback": rollback,
    "set": set_,
    "inherit": inherit,
    "rename": rename,
    "promote": promote,
    "hold": hold,
    "release": release,
    "send": send,
    "receive": receive,
}
