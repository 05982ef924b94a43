//! QEMU's command line for a machine.

use std::ffi::OsString;
use std::path::Path;

use crate::accelerator::Accelerator;
use crate::machine::{GuestClock, Machine, Resets, SecondDiskPlace};
use crate::rigs::sockets;

impl Machine {
    /// QEMU's whole command line but the program. `folder` holds the sockets.
    pub(crate) fn arguments(&self, folder: &Path) -> Vec<OsString> {
        let mut list = ArgumentList::default();
        let spec = &self.spec;
        list.pair("-machine", "q35,smm=on");
        match (spec.clock, self.accelerator) {
            // 2^0 ns an instruction; its translator knows one thread only.
            (GuestClock::Instructions, _) => list
                .pair("-accel", "tcg,thread=single,tb-size=512")
                .pair("-icount", "shift=0,sleep=on")
                .pair("-cpu", "max"),
            (GuestClock::Time, Accelerator::Tcg) => list
                .pair("-accel", "tcg,thread=multi,tb-size=512")
                .pair("-cpu", "max"),
            (GuestClock::Time, Accelerator::Kvm) => list.pair("-accel", "kvm").pair("-cpu", "host"),
        };
        list.pair("-smp", &spec.vcpus.to_string())
            .pair("-m", &spec.memory_mib.to_string());
        list.flag("-nodefaults")
            .pair("-nic", "none")
            .pair("-display", "none")
            .flag("-S");
        list.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
        list.file(
            "-drive",
            "if=pflash,unit=0,format=raw,readonly=on,file=",
            &spec.firmware.code,
        );
        list.file("-drive", "if=pflash,unit=1,format=raw,file=", &self.vars_path());
        if spec.tpm.is_some() {
            let socket = match spec.tpm_faults {
                Some(_) => sockets::TPM_PROXY,
                None => sockets::TPM,
            };
            list.file("-chardev", "socket,id=tpm-socket,path=", &folder.join(socket));
            list.pair("-tpmdev", "emulator,id=tpm,chardev=tpm-socket")
                .pair("-device", "tpm-crb,tpmdev=tpm");
        }
        self.disk_arguments(&mut list, folder);
        list.pair("-chardev", "stdio,id=console,signal=off")
            .pair("-serial", "chardev:console");
        list.file(
            "-chardev",
            "socket,id=control,server=on,wait=off,path=",
            &folder.join("qmp"),
        );
        list.pair("-mon", "chardev=control,mode=control");
        if spec.resets == Resets::EndPowerOn {
            list.flag("-no-reboot");
        }
        list.0.extend(spec.extra_args.iter().cloned());
        list.0
    }
    /// The disks. The order of devices is their order on the bus.
    fn disk_arguments(&self, list: &mut ArgumentList, folder: &Path) {
        let place = self.spec.second_disk.as_ref().map(|second| second.place);
        let second = self.second_disk.as_ref().zip(place);
        let add_second = |list: &mut ArgumentList, wanted: SecondDiskPlace| {
            if let Some((disk, place)) = second
                && place == wanted
            {
                list.file(
                    "-drive",
                    "if=none,id=second-disk,format=raw,cache=unsafe,file=",
                    disk.path(),
                );
                let device = match wanted {
                    SecondDiskPlace::Before | SecondDiskPlace::After => "virtio-blk-pci",
                    SecondDiskPlace::Sata => "ide-hd",
                };
                list.pair("-device", &format!("{device},drive=second-disk"));
            }
        };
        add_second(list, SecondDiskPlace::Before);
        if let Some(disk) = &self.disk {
            match self.spec.disk_faults {
                // Flushes must reach the rig: not `cache=unsafe`.
                Some(_) => list.file(
                    "-drive",
                    "if=none,id=disk,format=raw,cache=writeback,file.driver=nbd,file.server.type=unix,\
                     file.server.path=",
                    &folder.join(sockets::DISK),
                ),
                None => list.file(
                    "-drive",
                    "if=none,id=disk,format=raw,cache=unsafe,file=",
                    disk.path(),
                ),
            };
            list.pair("-device", "virtio-blk-pci,drive=disk,bootindex=0");
        }
        add_second(list, SecondDiskPlace::After);
        add_second(list, SecondDiskPlace::Sata);
    }
}

#[derive(Debug, Default)]
struct ArgumentList(Vec<OsString>);

impl ArgumentList {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    fn pair(&mut self, name: &str, value: &str) -> &mut Self {
        self.flag(name).flag(value)
    }

    /// An option list that ends with a file name, in which QEMU wants commas doubled.
    fn file(&mut self, name: &str, options: &str, path: &Path) -> &mut Self {
        self.pair(
            name,
            &format!("{options}{}", path.display().to_string().replace(',', ",,")),
        )
    }
}
