"""`verify` and `commit`: is the configuration complete and consistent? Then it may be saved."""

from __future__ import annotations

from zonemgr.lab import zonestore
from zonemgr.lab.zonecfg import errors, values
from zonemgr.lab.zonecfg.admins import authorise, deauthorise, unknown_rights, user_exists
from zonemgr.lab.zonecfg.commands import takes_no_more
from zonemgr.lab.zonecfg.ends import check_flags, wrong_rights
from zonemgr.lab.zonecfg.entries import Entry, ip_type_of
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.privileges import wrong_privilege
from zonemgr.lab.zonecfg.session import Session
from zonemgr.lab.zonecfg.settings import check_physical
from zonemgr.lab.zonestore import StoreError


class _Stop(Exception):
    """verify stops here; what is wrong was said."""


class Verdict:
    """What verify found: all faults are told, the first failure is the result."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.failure = ""

    def fault(self, text: str, failure: str, *, flag: bool = True, override: bool = False) -> None:
        self.session.complain(text, flag=flag)
        self.fail(failure, override=override)

    def fail(self, failure: str, *, override: bool = False) -> None:
        if override or not self.failure:
            self.failure = failure

    def required(self, resource: str, **properties: str) -> None:
        for name, value in properties.items():
            if not value:
                self.fault(f"{resource}: {name} not specified", errors.PROPERTY_MISSING)


def verify(session: Session, command: Command) -> None:
    found, _ = session.options(command.arguments, "?")
    for _ in found:
        session.longer_usage("verify")
    if not found:  # further words are passed over, and `verify save` saves
        _verify(session, save=command.arguments[:1] == ["save"])


def commit(session: Session, command: Command) -> None:
    if takes_no_more(session, command) is not None:
        save(session)


def save(session: Session) -> None:
    if not session.refuses_change("commit"):
        _verify(session, save=True)


def _verify(session: Session, *, save: bool) -> None:
    if session.refuses_change("verify") or not session.initialize():
        return
    verdict = Verdict(session)
    try:
        _check_globals(verdict)
    except _Stop:
        return
    _check_resources(verdict)
    if not session.in_global_scope:
        verdict.fault("resource specification incomplete", errors.INSUFFICIENT_SPEC)
    if save:
        _save(verdict)
    if verdict.failure:
        session.failed(session.zone, verdict.failure)


def _save(verdict: Verdict) -> None:
    session = verdict.session
    if verdict.failure:
        session.complain(f"Zone {session.zone} failed to verify")
        return
    before = session.handle.renamed_from
    try:
        session.handle.save()
    except StoreError as failure:
        verdict.fail(str(failure))
        return
    document = session.handle.config
    if before:
        deauthorise(session.world, document, before)
    authorise(session.world, document, session.zone)
    session.need_to_commit = False
    session.saved_name = session.zone


def _check_globals(verdict: Verdict) -> None:
    session = verdict.session
    zonepath = session.handle.config.get("zonepath") or ""
    if not zonepath and not session.global_zone:
        verdict.fault("zonepath cannot be empty.", errors.RESOURCE_MISSING)
    _check_brand(session)
    try:
        ip_type = ip_type_of(session.handle.config)
    except StoreError as failure:
        verdict.fault("cannot get ip-type", errors.RESOURCE_MISSING, override=True)
        session.complain(f"{session.zone}: invalid privilege: (null)")
        raise _Stop from failure
    wrong = wrong_privilege(
        session.handle.config.get("limitpriv") or "", brand=session.handle.brand(), ip_type=ip_type
    )
    if wrong is not None:
        session.complain(f"{session.zone}: invalid privilege: {wrong}")
        raise _Stop
    _check_stored_formats(session)


def _check_brand(session: Session) -> None:
    try:
        brand = session.handle.brand()
    except StoreError as failure:
        session.failed(session.zone, failure)
        raise _Stop from failure
    if brand not in zonestore.brands(session.world):
        session.complain(f"{session.zone}: unknown brand.\n")
        session.failed(session.zone, errors.INVALID_DOCUMENT)
        raise _Stop


def _check_stored_formats(session: Session) -> None:
    """Values that no `set` takes, but that may stand in a document."""
    hostid = session.handle.config.get("hostid") or ""
    fs_allowed = session.handle.config.get("fs-allowed") or ""
    if hostid and len(hostid) < 11 and values.hostid(hostid) == "invalid":
        session.complain(f"{session.zone}: invalid hostid: {hostid}")
        raise _Stop
    if fs_allowed and not values.fs_allowed(fs_allowed):
        session.complain(f"{session.zone}: invalid fs-allowed: {fs_allowed}")
        raise _Stop


# -- resources -------------------------------------------------------------------------------------------


def _check_resources(verdict: Verdict) -> None:
    session = verdict.session
    for fs in session.entries.all("fs"):
        verdict.required("fs", dir=fs["dir"], special=fs["special"], type=fs["type"])
    _check_nets(verdict)
    _check_controls(verdict)
    for attr in session.entries.all("attr"):
        verdict.required("attr", name=attr["name"], type=attr["type"], value=attr["value"])
    for dataset in session.entries.all("dataset"):
        _check_dataset(verdict, dataset["name"])
    _check_admins(verdict)
    flags = session.entries.all("security-flags")
    if flags and not check_flags(session, flags[0]):
        verdict.fail(errors.BAD_PROPERTY, override=True)


def _check_nets(verdict: Verdict) -> None:
    session = verdict.session
    ip_type = ip_type_of(session.handle.config)
    nets = session.entries.all("net")
    for net in nets:
        verdict.required("net", physical=net["physical"])
        if not check_physical(session, net["physical"]):
            session.saw_error = True
            verdict.fail(errors.INVALID)
        if ip_type == "shared":
            verdict.required("net", address=net["address"])
            if net["allowed-address"]:
                verdict.fault("net: allowed-address cannot be specified for a shared IP type", errors.INVALID)
        elif net["address"]:
            verdict.fault("net: address cannot be specified for an exclusive IP type", errors.INVALID)
    if ip_type == "exclusive":
        _check_routers(verdict, [net for net in nets if not net["address"]])


def _check_routers(verdict: Verdict, nets: list[Entry]) -> None:
    """On an exclusive-IP zone's link there is a router only where there is an address."""
    links = list(dict.fromkeys(net["physical"] for net in nets))
    routed = {net["physical"] for net in nets if net["defrouter"]}
    addressed = {net["physical"] for net in nets if net["allowed-address"]}
    for link in reversed(links):
        if link in routed - addressed:
            text = f"net: defrouter for {link} cannot be specified without allowed-address"
            verdict.fault(f"{text} for an exclusive IP type", errors.INVALID, override=True)


def _check_controls(verdict: Verdict) -> None:
    session = verdict.session
    names = set()
    for rctl in session.entries.all("rctl"):
        names.add(rctl["name"])
        verdict.required("rctl", name=rctl["name"])
        if not rctl.limits:
            verdict.fault("rctl: no value specified", errors.PROPERTY_MISSING)
    dedicated = session.entries.dedicated_cpu() is not None
    shares, cap = "zone.cpu-shares" in names, "zone.cpu-cap" in names
    if dedicated and shares:
        verdict.fault("rctl zone.cpu-shares and dedicated-cpu are incompatible.", errors.INCOMPATIBLE)
    scheduler = session.handle.config.get("scheduling-class") or ""
    if shares and len(scheduler) < 256 and scheduler not in ("", "FSS"):
        verdict.fault(
            f"WARNING: rctl zone.cpu-shares and scheduling-class={scheduler} are incompatible",
            errors.INCOMPATIBLE,
        )
    if dedicated and cap:
        verdict.fault("rctl zone.cpu-cap and the dedicated-cpu are incompatible.", errors.INCOMPATIBLE)


def _check_dataset(verdict: Verdict, name: str) -> None:
    if not name:
        verdict.fault("dataset: name not specified", errors.PROPERTY_MISSING)
    elif not values.dataset_name(name):
        verdict.fault("dataset: name invalid", errors.BAD_PROPERTY)


def _check_admins(verdict: Verdict) -> None:
    session = verdict.session
    for admin in session.entries.all("admin"):
        verdict.required("admin", user=admin["user"], auths=admin["auths"])
        if not verdict.failure and not user_exists(session.world, admin["user"]):
            verdict.fault(f"user {admin['user']} is not a valid username", errors.BAD_PROPERTY, flag=False)
        if not verdict.failure and unknown_rights(admin["auths"]):
            for text in wrong_rights(session, admin["auths"]):
                session.err(f"{text}\n")
            verdict.fail(errors.BAD_PROPERTY)
