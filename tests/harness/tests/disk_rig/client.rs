//! An NBD client as small as can be, and the bench on which it meets the disk.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bennu_harness::disk_rig::{DiskFault, DiskRig};

use crate::SECTOR;

/// A connection in its transmission phase.
pub struct Client(pub UnixStream);

impl Client {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn request(&mut self, kind: u16, flags: u16, offset: u64, length: usize, content: &[u8]) -> u32 {
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(77_u64.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend(content);
        self.0.write_all(&bytes).unwrap();
        assert_eq!(u32::from_be_bytes(self.take()), 0x6744_6698);
        let error = u32::from_be_bytes(self.take());
        assert_eq!(u64::from_be_bytes(self.take()), 77, "the cookie");
        error
    }

    pub fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, u32> {
        match self.request(0, 0, offset, length, &[]) {
            0 => {
                let mut bytes = vec![0; length];
                self.0.read_exact(&mut bytes).unwrap();
                Ok(bytes)
            }
            error => Err(error),
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8], fua: bool) -> u32 {
        self.request(1, u16::from(fua), offset, bytes.len(), bytes)
    }

    /// Writes whole sectors of one byte.
    pub fn fill(&mut self, sector: usize, count: usize, byte: u8) {
        let bytes = vec![byte; count * SECTOR];
        assert_eq!(self.write((sector * SECTOR) as u64, &bytes, false), 0);
    }

    pub fn flush(&mut self) -> u32 {
        self.request(3, 0, 0, 0, &[])
    }
}

/// A served disk and its client.
pub struct Bench {
    pub client: Client,
    pub rig: DiskRig,
    pub image: PathBuf,
    pub folder: tempfile::TempDir,
}

/// A disk of `sectors` sectors of zeroes, and a client that has chosen it by NBD_OPT_GO.
pub fn bench(sectors: usize, faults: Vec<DiskFault>) -> Bench {
    let folder = tempfile::Builder::new().prefix("disk-").tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(&image, vec![0; sectors * SECTOR]).unwrap();
    let rig = DiskRig::start(&image, &folder.path().join("nbd"), faults).unwrap();
    let stream = UnixStream::connect(folder.path().join("nbd")).unwrap();
    let mut client = Client(stream);
    assert_eq!(&client.take::<16>(), b"NBDMAGICIHAVEOPT");
    assert_eq!(client.take(), [0, 3]);
    client.0.write_all(&[0, 0, 0, 3]).unwrap();
    // As QEMU does: structured replies first, which are refused, then the export.
    for (option, content) in [(8_u32, &[][..]), (7, &[0, 0, 0, 0, 0, 1, 0, 3])] {
        let mut bytes = b"IHAVEOPT".to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(content);
        client.0.write_all(&bytes).unwrap();
    }
    let mut size = 0;
    loop {
        assert_eq!(u64::from_be_bytes(client.take()), 0x0003_E889_0455_65A9);
        let option = u32::from_be_bytes(client.take());
        let kind = u32::from_be_bytes(client.take());
        let mut content = vec![0; u32::from_be_bytes(client.take()) as usize];
        client.0.read_exact(&mut content).unwrap();
        match (option, kind) {
            (8, kind) => assert_eq!(kind, 0x8000_0001),
            (7, 1) => break,
            (7, 3) if content.starts_with(&[0, 0]) => {
                size = u64::from_be_bytes(content[2..10].try_into().unwrap());
                assert_eq!(content[10..], [0, 1 | 4 | 8], "flush and FUA are offered");
            }
            (7, 3) => assert_eq!(content[..2], [0, 3]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(size, (sectors * SECTOR) as u64);
    Bench {
        client,
        rig,
        image,
        folder,
    }
}

impl Bench {
    /// First byte of each sector of the image; each sector here holds one byte only.
    pub fn image(&self) -> Vec<u8> {
        let bytes = std::fs::read(&self.image).unwrap();
        bytes
            .chunks(SECTOR)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
                sector[0]
            })
            .collect()
    }
}
