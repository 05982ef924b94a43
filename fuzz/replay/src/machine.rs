//! What the kernel, the TPM and the initrd say: responses, blobs, module lists, uevents.

use bennu_linux::modules::ModuleList;
use bennu_linux::uevent::Uevent;
use bennu_tpm::{Client, SealedBlob, Transport, TransportError};

/// The initrd's list of kernel modules.
pub fn module_list(bytes: &[u8]) -> bool {
    let Ok(list) = ModuleList::parse(bytes) else {
        return false;
    };
    for name in list.for_modalias("virtio:d00000002v00001AF4") {
        assert!(
            list.load_order(name).is_some(),
            "an alias of a module that is not there was accepted"
        );
    }
    true
}

/// A `uevent` file of sysfs.
pub fn uevent(bytes: &[u8]) -> bool {
    Uevent::parse(bytes).is_ok_and(|event| event.get("DEVNAME").is_some())
}

/// A sealed secret on the ESP.
pub fn sealed_blob(bytes: &[u8]) -> bool {
    let Ok(blob) = SealedBlob::decode(bytes) else {
        return false;
    };
    assert_eq!(blob.encode().as_deref(), Ok(bytes), "the blob changed on its way");
    true
}

/// A TPM that answers what the input says: frames with their length (u16, little-endian) in front. After the
/// last one the device is gone, so that no input makes the client wait for a TPM that is busy for long.
struct Scripted<'a> {
    frames: &'a [u8],
    left: u32,
}

impl Transport for Scripted<'_> {
    fn transact(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        let gone = || TransportError::TooLong { limit: 0, found: 0 };
        let (length, rest) = self
            .frames
            .split_first_chunk::<2>()
            .filter(|_| self.left > 0)
            .ok_or_else(gone)?;
        let (frame, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        (self.frames, self.left) = (rest, self.left - 1);
        Ok(frame.to_vec())
    }
}

/// Responses of a TPM to the questions of early boot that need no session.
pub fn tpm_response(bytes: &[u8]) -> bool {
    let client = || {
        Client::new(Scripted {
            frames: bytes,
            left: 3,
        })
    };
    let banks = client().pcr_banks().is_ok();
    let properties = client().properties().is_ok();
    let handles = client().handles(0x8100_0000).is_ok();
    let nv = client().nv_read_public(0x0180_0001).is_ok();
    let started = client().startup_clear().is_ok();
    banks || properties || handles || nv || started
}
