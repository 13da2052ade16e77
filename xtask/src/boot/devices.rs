//! The devices of the emulated machine, and what each of them has to show.

use serde::Serialize;

/// What a device is, to the exercise in dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Nvme,
    Nic,
    Xhci,
    Ahci,
    Port,
}

impl Kind {
    /// The name that `init.sh` uses in `io_KIND`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nvme => "nvme",
            Self::Nic => "nic",
            Self::Xhci => "xhci",
            Self::Ahci => "ahci",
            Self::Port => "port",
        }
    }
}

/// One PCI function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device {
    /// Its name in reports, and its disk image's.
    pub name: &'static str,
    /// Bus, device and function as dom0 sees them. Firmware numbers the buses in the order of the ports.
    pub bdf: &'static str,
    /// The Linux driver.
    pub driver: &'static str,
    pub kind: Kind,
    /// Its interrupts are MSI-X, else plain MSI.
    pub msix: bool,
    /// What QEMU is told; `{mac}`-like parts are none, so these are whole arguments.
    pub qemu: &'static [&'static str],
}

/// The machine's devices. QEMU's q35 has the AHCI controller built in.
pub(crate) const DEVICES: &[Device] = &[
    Device {
        name: "nvme0",
        bdf: "00:02.0",
        driver: "nvme",
        kind: Kind::Nvme,
        msix: true,
        qemu: &[
            "-drive",
            "if=none,id=nvme0,file=nvme0.raw,format=raw",
            "-device",
            "nvme,addr=02.0,serial=zero,drive=nvme0",
        ],
    },
    Device {
        name: "e1000e",
        bdf: "00:03.0",
        driver: "e1000e",
        kind: Kind::Nic,
        msix: true,
        // With IPv6, QEMU sends router advertisements after some minutes, also to a card that is looped back.
        qemu: &["-netdev", "user,id=net0,ipv6=off", "-device", "e1000e,addr=03.0,netdev=net0"],
    },
    Device {
        name: "port1",
        bdf: "00:1c.0",
        driver: "pcieport",
        kind: Kind::Port,
        msix: true,
        qemu: &["-device", "pcie-root-port,id=port1,addr=1c.0,multifunction=on,chassis=1,slot=1"],
    },
    Device {
        name: "port2",
        bdf: "00:1c.1",
        driver: "pcieport",
        kind: Kind::Port,
        msix: true,
        qemu: &["-device", "pcie-root-port,id=port2,addr=1c.1,chassis=2,slot=2"],
    },
    Device {
        name: "xhci",
        bdf: "01:00.0",
        driver: "xhci_hcd",
        kind: Kind::Xhci,
        msix: true,
        qemu: &["-device", "qemu-xhci,id=xhci,bus=port1", "-device", "usb-tablet,bus=xhci.0"],
    },
    Device {
        name: "nvme1",
        bdf: "02:00.0",
        driver: "nvme",
        kind: Kind::Nvme,
        msix: true,
        qemu: &[
            "-drive",
            "if=none,id=nvme1,file=nvme1.raw,format=raw",
            "-device",
            "nvme,bus=port2,serial=one,drive=nvme1",
        ],
    },
    Device {
        name: "ahci",
        bdf: "00:1f.2",
        driver: "ahci",
        kind: Kind::Ahci,
        msix: false,
        qemu: &[
            "-drive",
            "if=none,id=ahci,file=ahci.raw,format=raw",
            "-device",
            "ide-hd,bus=ide.0,drive=ahci",
        ],
    },
];

/// A controller with a virtual function, for guests. Its disk is a namespace of a subsystem that both are of.
pub(crate) const PHYSICAL: Device = Device {
    name: "nvme2",
    bdf: "00:04.0",
    driver: "nvme",
    kind: Kind::Nvme,
    msix: true,
    qemu: &[
        "-drive",
        "if=none,id=nvme2,file=nvme2.raw,format=raw",
        "-device",
        "nvme-subsys,id=subsystem",
        "-device",
        "nvme,addr=04.0,id=nvme2,serial=two,subsys=subsystem,sriov_max_vfs=1,sriov_vq_flexible=2,sriov_vi_flexible=2",
        "-device",
        "nvme-ns,bus=nvme2,drive=nvme2,shared=on",
    ],
};

/// A display controller with a copy of configuration space in BAR 2. Nothing drives it, and nothing resets it.
pub(crate) const ATI: Device = Device {
    name: "ati",
    bdf: "00:05.0",
    driver: "",
    kind: Kind::Port,
    msix: false,
    qemu: &["-device", "ati-vga,addr=05.0,romfile="],
};

/// Its virtual function, when dom0 has made it.
pub(crate) const VIRTUAL: Device =
    Device { name: "nvme2-vf", bdf: "00:04.1", driver: "", kind: Kind::Nvme, msix: true, qemu: &[] };

/// A port with two functions behind it, for resets.
pub(crate) const PAIR: &[Device] = &[
    Device {
        name: "port3",
        bdf: "00:1c.2",
        driver: "pcieport",
        kind: Kind::Port,
        msix: true,
        qemu: &["-device", "pcie-root-port,id=port3,addr=1c.2,chassis=3,slot=3"],
    },
    Device {
        name: "nvme3",
        bdf: "03:00.0",
        driver: "nvme",
        kind: Kind::Nvme,
        msix: true,
        qemu: &[
            "-drive",
            "if=none,id=nvme3,file=nvme3.raw,format=raw",
            "-device",
            "nvme,bus=port3,addr=0.0,multifunction=on,serial=three,drive=nvme3",
        ],
    },
    Device {
        name: "xhci3",
        bdf: "03:00.1",
        driver: "xhci_hcd",
        kind: Kind::Xhci,
        msix: true,
        qemu: &["-device", "qemu-xhci,id=xhci3,bus=port3,addr=0.1", "-device", "usb-tablet,bus=xhci3.0"],
    },
];

/// A network card with a function-level reset, which QEMU 7.2 has not. Its network is not that of the other one.
pub(crate) const IGB: Device = Device {
    name: "igb",
    bdf: "00:06.0",
    driver: "igb",
    kind: Kind::Nic,
    msix: true,
    qemu: &["-netdev", "user,id=net1,net=10.0.3.0/24,ipv6=off", "-device", "igb,addr=06.0,netdev=net1"],
};

/// A function of q35's own (the `SMBus` controller) that Xen is told to hide from dom0.
pub(crate) const HIDDEN: &str = "00:1f.3";

/// The kernel modules that drive them, by file name; what they depend on comes with them.
pub(crate) const MODULES: &[&str] = &["nvme", "e1000e", "xhci-pci", "ahci", "sd_mod"];
