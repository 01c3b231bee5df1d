"""limitpriv: which privileges there are, and which a brand's zones get, must have and may not have."""

from __future__ import annotations

BASIC = frozenset((
    "file_link_any", "file_read", "file_write", "net_access", "proc_exec", "proc_fork", "proc_info",
    "proc_secflags", "proc_session",
))  # fmt: skip
_OTHERS = frozenset((
    "contract_event", "contract_identity", "contract_observer", "cpc_cpu", "dtrace_kernel", "dtrace_proc",
    "dtrace_user", "file_chown", "file_chown_self", "file_dac_execute", "file_dac_read", "file_dac_search",
    "file_dac_write", "file_downgrade_sl", "file_flag_set", "file_owner", "file_setid", "file_upgrade_sl",
    "graphics_access", "graphics_map", "ipc_dac_read", "ipc_dac_write", "ipc_owner", "net_bindmlp",
    "net_icmpaccess", "net_mac_aware", "net_mac_implicit", "net_observability", "net_privaddr",
    "net_rawaccess",
    "proc_audit", "proc_chroot", "proc_clock_highres", "proc_lock_memory", "proc_meminfo", "proc_owner",
    "proc_prioup", "proc_priocntl", "proc_setid", "proc_taskid", "proc_zone", "sys_acct", "sys_admin",
    "sys_audit",
    "sys_config", "sys_devices", "sys_ipc_config", "sys_linkdir", "sys_mount", "sys_iptun_config",
    "sys_dl_config", "sys_ip_config", "sys_net_config", "sys_nfs", "sys_ppp_config", "sys_res_bind",
    "sys_res_config", "sys_resource", "sys_smb", "sys_suser_compat", "sys_time", "sys_trans_label",
    "virt_manage",
    "win_colormap", "win_config", "win_dac_read", "win_dac_write", "win_devices", "win_dga",
    "win_downgrade_sl",
    "win_fontpath", "win_mac_read", "win_mac_write", "win_selection", "win_upgrade_sl", "xvm_control",
))  # fmt: skip
ALL = BASIC | _OTHERS

# The brand's lists for zones installed by pkg; the words behind the colon hold for one ip-type only.
_DEFAULT = (
    "contract_event contract_identity contract_observer file_chown file_chown_self file_dac_execute"
    " file_dac_read file_dac_search file_dac_write file_owner file_setid ipc_dac_read ipc_dac_write"
    " ipc_owner net_bindmlp net_icmpaccess net_mac_aware net_observability net_privaddr"
    " net_rawaccess:exclusive proc_chroot sys_audit proc_audit proc_lock_memory proc_owner proc_secflags"
    " proc_setid proc_taskid sys_acct sys_admin sys_ip_config:exclusive sys_iptun_config:exclusive"
    " sys_mount sys_nfs sys_ppp_config:exclusive sys_resource sys_smb"
)
_BHYVE = (
    "net_rawaccess:exclusive proc_clock_highres sys_admin sys_mount file_dac_read file_dac_search"
    " file_chown file_chown_self file_write file_dac_write file_owner file_link_any"
)
_PROHIBITED = (
    "dtrace_kernel proc_zone sys_config sys_devices sys_ip_config:shared sys_linkdir sys_net_config"
    " sys_res_config sys_suser_compat xvm_control virt_manage sys_ppp_config:shared"
)
_REQUIRED = "proc_exec proc_fork sys_ip_config:exclusive sys_mount"
_BHYVE_REQUIRED = "proc_exec sys_mount"


def _for(ip_type: str, text: str) -> list[str]:
    """The names that hold for this ip-type; the last of the brand's file comes first, as libzonecfg keeps
    them.
    """
    pairs = [word.partition(":") for word in text.split()]
    return [name for name, _, only in reversed(pairs) if only in ("", ip_type)]


def prohibited(ip_type: str) -> list[str]:
    """Those no zone of this ip-type may have."""
    return _for(ip_type, _PROHIBITED)


def wrong_privilege(limitpriv: str, *, brand: str, ip_type: str) -> str | None:
    """The first privilege that makes a limitpriv unfit, None when it is good.

    Unknown ones come first, then those a zone may not have, then those it must have.
    """
    if limitpriv in ("", "default"):
        return None
    first, comma, rest = limitpriv.partition(",")
    # the real one compares as many characters as there are before the comma: `def,` and `,` pass too
    with_default = bool(comma) and "default".startswith(first)
    text = rest if with_default else limitpriv
    names = [name for name in text.split(",") if name]
    if "zone" in names:
        return "zone"
    held = (
        BASIC | set(_for(ip_type, _BHYVE if brand == "bhyve" else _DEFAULT)) if with_default else frozenset()
    )
    wrong, held = _apply(names, frozenset(held))
    if wrong is not None:
        return wrong
    banned = [name for name in _for(ip_type, _PROHIBITED) if name in held]
    required = _for(ip_type, _BHYVE_REQUIRED if brand == "bhyve" else _REQUIRED)
    missing = [name for name in required if name not in held]
    return next(iter((*banned, *missing)), None)


def _apply(names: list[str], held: frozenset[str]) -> tuple[str | None, frozenset[str]]:
    """priv_str_to_set(3C): names one after the other, `!` or `-` takes one away; first the unknown one,
    if any.
    """
    for name in names:
        match name.lower():
            case "basic":
                held |= BASIC
            case "none":
                held = frozenset()
            case "all" | "zone":
                held = ALL
            case other:
                plain = (other[1:] if other[0] in "-!+" else other).removeprefix("priv_")
                if plain not in ALL:
                    return name, held
                held = held - {plain} if other[0] in "-!" else held | {plain}
    return None, held
